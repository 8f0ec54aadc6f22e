// Adds new entries to the activity page as they come. Without this file, the page has a Refresh link.
(() => {
  const status = document.getElementById("live");
  const rows = document.getElementById("lines");
  if (!status || !rows || !window.EventSource) return;
  const most = 200;
  const minutes = 30; // an open page must not keep a session alive for the whole day
  let added = 0;
  const source = new EventSource(status.dataset.stream);
  source.onopen = () => {
    status.textContent = added ? `${added} new, waiting for more.` : "Live: waiting for new entries.";
  };
  source.onmessage = (event) => {
    const sent = document.createElement("template");
    sent.innerHTML = event.data; // our own rows: the server has escaped what strangers sent
    const fresh = [...sent.content.querySelectorAll("tr")];
    for (const row of fresh) rows.prepend(row);
    while (rows.rows.length > most) rows.lastElementChild.remove();
    added += fresh.length;
    status.textContent = `${added} new, waiting for more.`;
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      status.textContent = "The live view has ended: too many are open, or you are signed out. Use Refresh.";
    }
  };
  setTimeout(() => {
    source.close();
    status.textContent = `The live view ends after ${minutes} minutes. Use Refresh to go on.`;
  }, minutes * 60 * 1000);
  addEventListener("pagehide", () => source.close());
})();
