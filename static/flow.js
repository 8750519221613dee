// An order crossing: a dot for orders that were counted on a side since the last look. Nothing moves where nothing was
// counted, where nobody sees it, or where the reader wants no motion. The dots are in the page already, so nothing shifts.
(() => {
  "use strict";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const seen = new Map(); // what each picture showed at the last look
  const crossing = 1400; // ms
  function inSight(el) {
    const r = el.getBoundingClientRect();
    return r.width > 0 && r.bottom > 0 && r.top < innerHeight;
  }
  function cross(lane, n, within) {
    const track = lane.querySelector(".track"), dots = track.children, way = track.clientWidth - 8;
    const shown = Math.min(n, dots.length);
    for (let i = 0; i < shown; i++) {
      dots[i].animate([
        { transform: "translateX(0)", opacity: 0 }, { opacity: 1, offset: .1 }, { opacity: 1, offset: .9 },
        { transform: "translateX(" + way + "px)", opacity: 0 },
      ], { duration: crossing, delay: i * within / shown, easing: "cubic-bezier(.4, 0, .6, 1)" });
    }
  }
  function look() {
    const pictures = document.querySelectorAll("[data-flow]");
    if (!pictures.length) { seen.clear(); return; }
    for (const f of pictures) {
      const now = performance.now(), was = seen.get(f.id);
      const counts = [...f.querySelectorAll("[data-lane]")].map((l) => Number(l.dataset.lane));
      const same = was && was.key === f.dataset.flow;
      if (same && String(was.counts) === String(counts)) continue;
      seen.set(f.id, { key: f.dataset.flow, counts, at: now });
      if (!same || document.hidden || calm.matches || !inSight(f)) continue;
      const within = Math.min(now - was.at, 2000); // as long as the orders took to come
      f.querySelectorAll("[data-lane]").forEach((l, i) => cross(l, counts[i] - was.counts[i], within));
    }
  }
  look();
  document.addEventListener("htmx:after:swap", look);
  // A run that ends while it is watched puts its result below what is being read.
  if (document.querySelector("[data-run-open]")) document.body.dataset.watched = "";
})();
