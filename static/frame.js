// Keeps the page standing while the server does not: only what the server itself marked is put into it, it says how old it is, and it is fetched again until it is live.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const stream = document.getElementById("stream");
  const chip = document.getElementById("live-state");
  const ageOf = document.getElementById("live-age");
  const main = () => document.getElementById("main");
  const quiet = 25; // seconds: two and a half heartbeats of the server
  const patience = 20_000; // ms for one answer: the server gives up after 15 s
  const slowest = 30_000; // ms between two attempts
  let heard = Date.now(); // when the server last confirmed what is shown
  let shownSince = 0; // a hidden tab has no stream, so its silence counts from when it is looked at again
  let begun = false; // the server has answered this page's script, or has failed to
  let connected = false; // by the stream
  let failures = 0; // attempts to fetch the page, in a row
  let out = false; // signed out
  let told = false; // of this failure, by a message
  let timer = null;

  const silence = () => (Date.now() - Math.max(heard, shownSince)) / 1000;
  const jitter = (ms) => ms * (0.5 + Math.random()); // so that not every page comes at once

  globalThis.switchyard = {
    /** age says for people how long ago something was. */
    age(seconds) {
      if (seconds < 0) return "in the future";
      if (seconds < 10) return "just now";
      if (seconds < 60) return Math.floor(seconds) + " s ago";
      if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
      if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
      return Math.floor(seconds / 86400) + " d ago";
    },
  };

  // --- What the bar says --------------------------------------------------------------------------------------------------
  const words = { live: "Connected", retry: "Reconnecting", stale: "Reconnecting", out: "Signed out" };
  function now() {
    if (out) return "out";
    if (silence() > quiet) return "stale";
    if (!begun) return "static";
    return connected && failures === 0 ? "live" : "retry";
  }
  function write(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }
  function show() {
    if (!stream) return;
    const state = now();
    if (state === "static") return;
    if (root.dataset.live !== state) root.dataset.live = state;
    write(chip, words[state]);
    write(ageOf, state === "live" ? "" : "Last updated " + globalThis.switchyard.age((Date.now() - heard) / 1000));
    hold(state === "stale");
  }

  /** clone gives what the page keeps for when it is needed. */
  function clone(id) {
    const kept = document.getElementById(id);
    return kept && kept.content.firstElementChild.cloneNode(true);
  }
  /** hold keeps anybody from deciding on what is no longer confirmed, and says why; fields can still be filled in. */
  function hold(stale) {
    if (!stale) {
      for (const b of document.querySelectorAll("[data-held]")) { b.disabled = false; delete b.dataset.held; }
      for (const why of document.querySelectorAll(".held-why")) why.remove();
      return;
    }
    for (const form of document.querySelectorAll("#main form")) {
      if (form.method !== "post" || form.querySelector(".held-why")) continue;
      const open = [...form.querySelectorAll("button:not([type=button]):not(:disabled)")];
      for (const b of open) { b.disabled = true; b.dataset.held = ""; }
      const why = open.length > 0 && clone("held-why");
      if (why) form.append(why);
    }
  }
  function banner() {
    const have = document.querySelector(".signed-out");
    if (!out && have) have.remove();
    if (out && !have) main().before(clone("when-signed-out"));
  }

  // --- What the server has said -------------------------------------------------------------------------------------------
  function confirmed() { // what is shown is what there is
    begun = true;
    heard = Date.now();
    if (failures > 0) document.getElementById("toasts").replaceChildren();
    for (const note of document.querySelectorAll(".not-sent")) note.remove();
    failures = 0;
    told = out = false;
    banner();
    show();
    later(connected ? 0 : 10_000);
  }
  function failed() {
    begun = true;
    failures++;
    show();
    later(Math.min(slowest, 1000 * 2 ** (failures - 1)));
  }
  function signedOut() {
    begun = out = true;
    banner();
    show();
    later(0);
  }
  function heardOf() { // by the stream
    begun = connected = true;
    if (out || failures > 0) return refetch();
    heard = Date.now();
    show();
  }
  function lost() { // the stream
    begun = true;
    connected = false;
    show();
    if (!out && timer === null) later(1000);
  }

  // --- Fetching again, until it works -------------------------------------------------------------------------------------
  function later(ms) {
    clearTimeout(timer);
    timer = null;
    if (ms > 0 && !document.hidden) timer = setTimeout(() => { timer = null; refetch(); }, jitter(ms));
  }
  function refetch() {
    const part = document.querySelector("#main[hx-get], #headline[hx-get]");
    if (stream && part) htmx.trigger(part, "heal");
  }

  /** guarded fetches for htmx: what does not answer is an answer without the server's mark, and never hangs. */
  async function guarded(url, options) {
    try {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(patience)]);
      const answer = await fetch(url, { ...options, signal });
      const body = answer.status === 304 || answer.status === 204 ? null : await answer.text();
      return new Response(body, { status: answer.status, headers: answer.headers });
    } catch (e) {
      if (options.signal.aborted) throw e;
      return new Response("", { status: 503 });
    }
  }
  const streamed = (url, options) => fetch(url, options).catch((e) => {
    if (options.signal.aborted) throw e;
    return new Response("", { status: 503 });
  });
  document.addEventListener("htmx:config:request", (e) => {
    const { ctx } = e.detail;
    ctx.fetch = ctx.sourceElement === stream ? streamed : guarded;
  });
  document.addEventListener("htmx:before:response", (e) => {
    const { ctx } = e.detail;
    const { status, headers } = ctx.response;
    const mark = headers.get("X-Switchyard-Fragment");
    if (ctx.sourceElement === stream) {
      if (headers.get("Content-Type")?.startsWith("text/event-stream")) return;
      e.preventDefault();
      if (status === 401 && mark) signedOut();
      else lost();
      return;
    }
    if (mark === "main") { confirmed(); return; }
    const message = mark === "toast" && status !== 401 && !(told && ctx.sourceElement === main());
    if (!message) e.preventDefault();
    if (status === 401 && mark) { signedOut(); return; }
    told = told || message;
    failed();
  });
  document.addEventListener("htmx:after:swap", show);

  if (stream) {
    for (const name of ["beat", "update"]) stream.addEventListener(name, heardOf);
    stream.addEventListener("htmx:sse:error", (e) => {
      if (e.detail?.status === 401) signedOut();
      else lost();
    });
    setInterval(() => {
      if (document.hidden) return;
      if (!out && silence() > quiet && timer === null) { connected = false; later(1000); }
      show();
    }, 1000);
    const seen = () => {
      if (document.hidden) return;
      shownSince = Date.now() - (quiet - 10) * 1000;
      if (out || failures > 0) refetch();
    };
    document.addEventListener("visibilitychange", seen);
    addEventListener("focus", () => { if (out) refetch(); });
  }

  // --- A form is not sent to where nobody answers -------------------------------------------------------------------------
  addEventListener("submit", (e) => {
    const form = e.target;
    const method = e.submitter?.getAttribute("formmethod") || form.method;
    if (!stream || method.toLowerCase() !== "post" || out || (failures === 0 && now() !== "stale")) return;
    e.preventDefault();
    e.stopPropagation();
    const note = !form.querySelector(".not-sent") && clone("not-sent");
    if (note) form.append(note);
    refetch();
  }, true);

  // --- A page that could not be shown opens by itself ---------------------------------------------------------------------
  const failure = document.querySelector("[data-heal]");
  if (failure) {
    const to = failure.dataset.heal;
    let tries = 0;
    const again = async () => {
      const answer = document.hidden ? null : await guarded(to, {
        headers: { "HX-Request": "true" }, cache: "no-store", signal: new AbortController().signal,
      });
      const mark = answer?.headers.get("X-Switchyard-Fragment");
      if (answer && mark && (mark === "main" || answer.status < 500)) location.replace(to);
      else setTimeout(again, jitter(Math.min(slowest, 1000 * 2 ** tries++)));
    };
    setTimeout(again, jitter(1000));
  }
})();
