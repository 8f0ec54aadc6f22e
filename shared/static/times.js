// Show each time in the reader's zone, with UTC on hover. Without scripts the page shows UTC, and says so.
"use strict";
const inZone = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });
for (const element of document.querySelectorAll("time[datetime]")) {
  const time = new Date(element.dateTime);
  if (!Number.isNaN(time.valueOf())) {
    element.title = element.textContent;
    element.textContent = inZone.format(time);
  }
}
