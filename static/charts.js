// Charts that go on by themselves, in place of the server's pictures: the same series from the same API, with one cursor for
// all charts of a page. Without this file the pictures and the tables remain.
(() => {
  "use strict";
  const groups = new Map(); // element -> Group
  const second = 1000;

  // --- Words: as the server writes them ------------------------------------------------------------------------------------
  const thousands = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  function decimal(v) {
    if (v >= 100 || v === Math.trunc(v)) return thousands(Math.round(v));
    return v.toFixed(v >= 10 ? 1 : 2);
  }
  function duration(s) {
    const units = (n, large, a, small, b) => {
      const rest = Math.trunc((n % large) / small);
      return Math.trunc(n / large) + " " + a + (rest > 0 ? " " + rest + " " + b : "");
    };
    if (s <= 0) return "0 s";
    if (s < 1) return Math.round(s * 1000) + " ms";
    if (s < 10 && Math.round(s * 10) % 10) return s.toFixed(1) + " s";
    const n = Math.round(s);
    if (n < 60) return n + " s";
    if (n < 3600) return units(n, 60, "min", 1, "s");
    if (n < 172800) return units(Math.round(n / 60) * 60, 3600, "h", 60, "min");
    return units(Math.round(n / 3600) * 3600, 86400, "d", 3600, "h");
  }
  function words(v, unit) {
    if (unit === "s") return duration(v);
    if (unit === "ms" && v === 0) return "under 1 ms";
    if (unit === "jobs" || unit === "") return decimal(v);
    return decimal(v) + (unit.startsWith("/") ? "" : "\u00a0") + unit;
  }
  // short is for an axis, where there is little room.
  function short(v, unit) {
    if (v === 0) return "0";
    return v >= 10000 && unit !== "s" ? thousands(v / 1000) + "k" + (unit === "jobs" ? "" : unit) : words(v, unit);
  }
  const two = (n) => String(n).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function clock(sec, fine) {
    const d = new Date(sec * second);
    const text = two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
    return fine ? text + ":" + two(d.getUTCSeconds()) : text;
  }
  function day(sec) {
    const d = new Date(sec * second);
    return d.getUTCDate() + " " + months[d.getUTCMonth()];
  }

  // --- Colours: computed, since a token holds both themes --------------------------------------------------------------------
  const colours = new Map(); // asking makes the browser lay out the page
  function colour(token) {
    if (!colours.has(token)) colours.set(token, computed(token));
    return colours.get(token);
  }
  function computed(token) {
    const probe = document.createElement("span");
    probe.className = "probe-" + token;
    document.body.append(probe);
    const c = getComputedStyle(probe).color;
    probe.remove();
    return c;
  }
  const faint = (c) => c.replace(/^rgb\(/, "rgba(").replace(/\)$/, ", .16)");
  const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8, 1e9];
  const looks = {
    source: { dash: [7, 5] }, target: {}, first: {}, second: { dash: [2, 4] },
    "source-next": { dash: [1, 5], width: 3 }, "target-next": { dash: [1, 5], width: 3 }, // projected, not measured
  };

  // top is the end of the axis: a round number, as the server takes it.
  function top(settings, most) {
    if (settings.top) return settings.top;
    if (!(most > 0)) return 1;
    const size = 10 ** Math.floor(Math.log10(most));
    for (const n of [1, 2, 4, 5, 8, 10]) if (n * size >= most && !(settings.whole && n * size < 2)) return n * size;
    return 10 * size;
  }

  class Chart {
    constructor(group, figure) {
      this.group = group;
      this.figure = figure;
      this.settings = JSON.parse(figure.dataset.chart);
      this.plot = figure.querySelector(".plot");
    }

    // A line is three series: the mean, and the least and the most between which it is shaded.
    columns() {
      const out = [this.group.times()];
      for (const l of this.settings.lines) for (const part of ["mean", "min", "max"]) out.push(this.group.column(l.name, part));
      return out;
    }

    draw() {
      if (this.u) this.u.destroy();
      const series = [{}];
      const bands = [];
      for (const l of this.settings.lines) {
        const c = colour(l.role);
        const n = series.length;
        series.push({ label: l.name, stroke: c, width: looks[l.role].width || 2, dash: looks[l.role].dash, points: { size: 4, fill: c } });
        for (let i = 0; i < 2; i++) series.push({ width: 0, points: { show: false }, stroke: "transparent" });
        bands.push({ series: [n + 2, n + 1], fill: faint(c) });
      }
      const text = colour("text"), grid = colour("grid");
      const axis = { stroke: text, font: "12px Inter, system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false } };
      const long = this.group.span > 24 * 3600 * second;
      const unit = this.settings.unit;
      this.plot.setAttribute("hx-morph-skip", "");
      this.plot.classList.add("drawn");
      this.u = new uPlot({
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        padding: [8, 10, 0, 0],
        tzDate: (ts) => uPlot.tzDate(new Date(ts * second), "Etc/UTC"),
        legend: { show: false },
        cursor: { sync: { key: "switchyard" }, drag: { x: false, y: false }, points: { size: 7 } },
        scales: {
          x: { time: true, range: () => this.group.extent() },
          y: { range: (_, __, most) => [0, top(this.settings, most)] },
        },
        axes: [
          { ...axis, size: 26, gap: 8, space: long ? 90 : 56, values: (_, ticks) => ticks.map((t) => (long ? day(t) : clock(t))) },
          { ...axis, size: 64, gap: 6, space: 30, incrs: this.settings.whole ? whole : undefined, values: (_, ticks) => ticks.map((t) => short(t, unit)) },
        ],
        series,
        bands,
        hooks: { setCursor: [(u) => this.point(u)], drawClear: [(u) => this.marks(u)] },
      }, this.columns(), this.plot);
      const canvas = this.plot.querySelector("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", this.figure.dataset.sentence);
    }

    // fit follows the room that there is; setting the same size again would draw again.
    fit() {
      const width = this.plot.clientWidth, height = this.plot.clientHeight;
      if (this.u && (this.u.width !== width || this.u.height !== height)) this.u.setSize({ width, height });
    }

    refresh() {
      const u = this.u;
      if (!u) return; // its turn comes, with what there is then
      u.setData(this.columns());
      u.root.querySelector("canvas").setAttribute("aria-label", this.figure.dataset.sentence);
      if (u.cursor.idx == null) this.latest();
    }

    // marks draws runs and alerts as strips above the lines, with a faint line where each begins.
    marks(u) {
      const { ctx } = u;
      const { left, top: y, width, height } = u.bbox;
      const px = devicePixelRatio;
      for (const m of this.group.marks) {
        const at = (t) => Math.min(Math.max(u.valToPos(t / second, "x", true), left), left + width);
        const from = at(m.from), until = at(m.until || Date.now());
        if (until <= left || from >= left + width) continue;
        const alert = m.kind !== "run";
        ctx.fillStyle = colour(alert ? "alert" : "run");
        ctx.fillRect(from, y - (alert ? 0 : 6) * px, Math.max(until - from, 2 * px), 5 * px);
        ctx.globalAlpha = 0.3;
        if (from > left) ctx.fillRect(from, y, px, height);
        ctx.globalAlpha = 1;
      }
    }

    value(name, text) {
      const el = this.figure.querySelector('[data-value="' + name + '"]');
      if (el && el.textContent !== text) el.textContent = text;
    }

    // point shows the values under the cursor, whichever chart it is in.
    point(u) {
      const i = u.cursor.idx;
      if (i == null || !u.data[0].length) { this.figure.classList.remove("pointed"); this.latest(); return; }
      this.figure.classList.add("pointed");
      this.settings.lines.forEach((l, n) => {
        const v = u.data[1 + 3 * n][i];
        this.value(l.name, v != null ? words(v, this.settings.unit) : l.projected ? "–" : "not measured");
      });
      this.group.when(u.data[0][i]);
    }

    latest() {
      for (const l of this.settings.lines) {
        const v = this.group.last(l.name);
        this.value(l.name, v == null ? "no data" : words(v, this.settings.unit));
      }
      this.group.when(null);
    }
  }

  class Group {
    constructor(el) {
      this.el = el;
      this.span = Number(el.dataset.span);
      this.points = Number(el.dataset.points);
      this.values = new Map(); // ms -> name -> [mean, min, max]
      this.marks = [];
      this.charts = [];
      this.asked = 0;
    }

    // load asks for what is new; everything when the steps are wide, or nothing was asked yet.
    async load() {
      if (this.el.dataset.view) return this.given(this.el.dataset.view);
      if (this.loading || document.hidden) return;
      if (this.step && Date.now() - this.asked < Math.min(this.step, 60 * second) * 0.9) return;
      this.loading = true;
      try {
        const q = new URLSearchParams({ name: this.el.dataset.names, points: String(this.points) });
        const known = this.step === 10 * second && Date.now() - this.asked < 600 * second;
        q.set("since", known ? new Date(this.until - 3 * this.step).toISOString() : this.el.dataset.range);
        const answer = await fetch(this.el.dataset.charts + "?" + q, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        this.take(await answer.json(), !known);
        this.asked = Date.now();
      } catch {
        return; // the state of the page's stream says that nobody answers
      } finally {
        this.loading = false;
      }
      if (!this.charts.length) this.begin();
      else for (const c of this.charts) c.refresh();
    }

    // given draws what the page brought along.
    given(text) {
      if (this.text === text) return;
      this.text = text;
      this.take(JSON.parse(text), true);
      if (!this.charts.length) this.begin();
      else for (const c of this.charts) c.refresh();
    }

    take(view, all) {
      if (all) this.values.clear();
      this.step = view.step_ms;
      this.until = Date.parse(view.until);
      this.now = view.now ? Date.parse(view.now) : this.until; // an axis may go on into what is projected
      const since = Date.parse(view.since);
      for (const s of view.series) {
        s.steps.forEach((n, i) => {
          const at = since + n * this.step;
          if (!this.values.has(at)) this.values.set(at, new Map());
          this.values.get(at).set(s.name, [s.mean[i], s.min[i], s.max[i]]);
        });
      }
      for (const at of this.values.keys()) if (at < this.until - this.span) this.values.delete(at);
      const marks = view.marks.map((m) => ({ kind: m.kind, from: Date.parse(m.from), until: m.until ? Date.parse(m.until) : 0, id: m.kind + m.id + m.from }));
      const fresh = new Set(marks.map((m) => m.id));
      this.marks = all ? marks : this.marks.filter((m) => !fresh.has(m.id)).concat(marks);
    }

    begin() {
      const figures = [...this.el.querySelectorAll("[data-chart]")];
      this.charts = figures.map((f) => new Chart(this, f));
      this.redraw();
      const sizes = new ResizeObserver(() => {
        for (const c of this.charts) c.fit();
      });
      for (const c of this.charts) sizes.observe(c.plot);
    }

    // redraw takes a task for each chart: all at once are a quarter of a second on a phone.
    async redraw() {
      for (const c of this.charts) {
        await new Promise((resolve) => { setTimeout(resolve); });
        if (!c.plot.isConnected) continue;
        c.draw();
        c.latest();
      }
    }

    extent() { return [(this.until - this.span) / second, this.until / second]; }
    grid() {
      const out = [];
      for (let at = this.until - this.step * Math.ceil(this.span / this.step); at < this.until; at += this.step) out.push(at);
      return out;
    }
    times() { return this.grid().map((at) => (at + this.step / 2) / second); }
    column(name, part) {
      const n = { mean: 0, min: 1, max: 2 }[part];
      return this.grid().map((at) => this.values.get(at)?.get(name)?.[n] ?? null);
    }
    last(name) {
      for (const at of [...this.values.keys()].sort((a, b) => b - a)) {
        if (at + this.step < this.now - 60 * second - this.step) return null;
        const v = this.values.get(at).get(name);
        if (v) return v[0];
      }
      return null;
    }
    when(sec) {
      const el = this.el.querySelector("[data-when]");
      const long = this.span > 24 * 3600 * second;
      const text = sec == null ? "Times in UTC" : (long ? day(sec) + " " : "") + clock(sec, this.step < 60 * second) + " UTC";
      if (el && el.textContent !== text) el.textContent = text;
    }
  }

  function find() {
    for (const el of document.querySelectorAll("[data-charts]")) {
      if (!groups.has(el)) groups.set(el, new Group(el));
    }
    for (const [el, g] of groups) {
      if (!el.isConnected) groups.delete(el);
      else g.load();
    }
  }
  const later = (f) => (window.requestIdleCallback || setTimeout)(f);
  later(find);
  document.addEventListener("htmx:after:swap", () => {
    for (const g of groups.values()) for (const c of g.charts) if (c.u && c.u.cursor.idx == null) c.latest();
    find();
  });
  document.addEventListener("visibilitychange", find);
  const stream = document.getElementById("stream");
  if (stream) for (const name of ["update", "beat"]) stream.addEventListener(name, find);
  const recolour = () => { colours.clear(); for (const g of groups.values()) g.redraw(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  new MutationObserver(recolour).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
