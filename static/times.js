// Times in the reader's own zone, with UTC in the tooltip, or the other way round. Times of logs stay in UTC. Without
// JavaScript every time is in UTC, and says so.
(() => {
  "use strict";
  const utc = document.documentElement.dataset.times === "utc";
  let format; // made when it is needed: that alone takes a phone some 50 ms
  function inZone(d) {
    format ||= new Intl.DateTimeFormat("en-GB", {
      day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
      timeZoneName: "short",
    });
    return format.format(d);
  }
  const stamp = (d) => d.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }) +
    ", " + d.toISOString().slice(11, 19) + " UTC";
  function show() {
    for (const t of document.querySelectorAll("time[data-at], time[data-exact], time[data-age]")) {
      const d = new Date(t.dateTime);
      if (isNaN(d) || d.getTimezoneOffset() === 0) continue; // UTC is what the page says already
      const local = inZone(d);
      if ("age" in t.dataset) {
        const both = utc ? stamp(d) + " (" + local + ")" : local + " (" + stamp(d) + ")";
        if (t.title !== both) t.title = both;
        continue;
      }
      const stays = utc || "exact" in t.dataset;
      const text = stays ? stamp(d) : local, title = stays ? local : stamp(d);
      if (t.textContent !== text) t.textContent = text;
      if (t.title !== title) t.title = title;
    }
  }
  setTimeout(show); // a task of its own
  document.addEventListener("htmx:after:swap", show);
})();
