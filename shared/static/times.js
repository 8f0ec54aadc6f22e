// Show each time in the reader's zone, with UTC on hover. Without scripts the page shows UTC, and says so.
"use strict";
const inZone = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });
function show(part) {
  for (const element of part.querySelectorAll("time[datetime]:not([title])")) {
    const time = new Date(element.dateTime);
    if (!Number.isNaN(time.valueOf())) {
      element.title = element.textContent;
      element.textContent = inZone.format(time);
    }
  }
}
show(document);
// Rows that another script adds, such as those of the live activity page.
new MutationObserver(() => show(document)).observe(document.getElementById("content"), { childList: true, subtree: true });
