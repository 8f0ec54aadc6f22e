// Adds what a page can do without: buttons that copy a value, and an output that follows what is typed.
// Without scripts the buttons stay hidden, and the values can be selected with one click.
const text = (source) => source.value ?? source.textContent;

for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(text(source));
    } catch {
      // Browsers give the clipboard to https and to this machine only.
      getSelection().selectAllChildren(source);
      source.select?.();
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = label; }, 3000);
  });
}

for (const output of document.querySelectorAll("output[data-template]")) {
  const input = document.getElementById(output.htmlFor.value);
  const general = output.dataset.template;
  input.addEventListener("input", () => {
    output.value = general.replace("{name}", input.value.trim().toLowerCase());
  });
}
