// What the headline adds to a page: a countdown that runs, and a tab that tells in the background.
(() => {
  "use strict";
  const plain = document.title.replace(/^\([!·]\) /, "");
  const icon = document.querySelector('link[rel="icon"]');
  let offset = 0;

  // The same words as on the server: the two largest units.
  function words(seconds) {
    const s = Math.floor(seconds);
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const at = units.findIndex(([n, unit]) => s >= (unit === "d" ? 2 * n : n));
    if (at < 0) return "0 s";
    const [n, unit] = units[at];
    const next = units[at + 1];
    const rest = next ? Math.floor((s % n) / next[0]) : 0;
    return Math.floor(s / n) + " " + unit + (rest > 0 ? " " + rest + " " + next[1] : "");
  }
  function tick() {
    for (const t of document.querySelectorAll("time[data-until]")) {
      const left = (Date.parse(t.dateTime) - Date.now() - offset) / 1000;
      const text = left < 0 ? words(-left) + " ago" : "in " + words(left);
      if (t.textContent !== text) t.textContent = text;
    }
  }
  function show() {
    const main = document.getElementById("main");
    if (main && main.dataset.now) offset = Date.parse(main.dataset.now) - Date.now();
    const bar = document.getElementById("headline");
    if (!bar) return;
    document.title = bar.dataset.badge + plain;
    if (icon && bar.dataset.icon && icon.getAttribute("href") !== bar.dataset.icon) icon.setAttribute("href", bar.dataset.icon);
    tick();
  }
  show();
  document.addEventListener("htmx:after:swap", show);
  setInterval(tick, 1000);
})();
