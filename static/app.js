// What the pages do beyond forms and links: keep ages true, copy commands, follow a log.
// Everything here is an extra; each page works without it.
(() => {
  "use strict";
  // --- Only what changed --------------------------------------------------------------------------------------------------
  // The page says what it shows, and for which session its forms are; what is still so is not sent again.
  document.addEventListener("htmx:config:request", (e) => {
    const { sourceElement: main, request } = e.detail.ctx;
    if (main.id !== "main" || !main.dataset.tag) return;
    request.headers["If-None-Match"] = 'W/"' + main.dataset.tag + '"';
    const token = main.querySelector("input[name=csrf]");
    if (token) request.headers["X-CSRF-Token"] = token.value;
  });

  // --- Charts that come later ---------------------------------------------------------------------------------------------
  let drawing = false;
  for (const kind of ["pointerover", "focusin"]) {
    document.addEventListener(kind, (e) => {
      const group = drawing ? null : e.target.closest?.("[data-script]");
      if (!group) return;
      drawing = true; // an update of the page brings the attribute back
      document.head.append(Object.assign(document.createElement("script"), { src: group.dataset.script }));
    });
  }

  // --- Ages ---------------------------------------------------------------------------------------------------------------
  // The server's clock is what evidence is dated by, so ages count from the time in the page, not from the clock of this machine.
  let offset = 0;
  function sync() {
    const main = document.getElementById("main");
    if (main && main.dataset.now) offset = Date.parse(main.dataset.now) - Date.now();
    const count = document.getElementById("alert-count"); // it is outside of what is fetched again
    if (!main || !count || main.dataset.alerts === undefined) return;
    count.hidden = !main.dataset.alerts;
    count.querySelector("span").textContent = main.dataset.alerts || "Alerts";
  }
  function tick() {
    for (const t of document.querySelectorAll("time[data-age]")) {
      const text = globalThis.switchyard.age((Date.now() + offset - Date.parse(t.dateTime)) / 1000);
      if (t.textContent !== text) t.textContent = text;
    }
  }
  sync();
  setInterval(tick, 1000);

  // --- Copy a command -----------------------------------------------------------------------------------------------------
  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-copy]");
    if (!button) return;
    const said = button.querySelector("[data-said]");
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      said.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      said.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { said.textContent = "Copy"; }, 2000);
  });

  // --- A slider and its number say the same --------------------------------------------------------------------------------
  document.addEventListener("input", (e) => {
    const other = e.target.dataset.mirrors && document.getElementById(e.target.dataset.mirrors);
    if (other) other.value = e.target.value;
  });

  // --- One press, one request ---------------------------------------------------------------------------------------------
  document.addEventListener("submit", (e) => {
    const button = e.submitter;
    if (!button || e.target.method !== "post") return;
    if (e.target.dataset.sent) { e.preventDefault(); return; }
    e.target.dataset.sent = "1";
    setTimeout(() => { button.setAttribute("aria-busy", "true"); }, 300);
  });
  addEventListener("pageshow", () => { // back from the cache of the browser: the form may be sent again
    for (const f of document.querySelectorAll("form[data-sent]")) delete f.dataset.sent;
    for (const b of document.querySelectorAll("[aria-busy]")) b.removeAttribute("aria-busy");
  });

  // --- Follow a log, unless the reader scrolled up ------------------------------------------------------------------------
  const end = (el) => { el.scrollTop = el.scrollHeight; };
  const atEnd = (el) => el.scrollHeight - el.scrollTop - el.clientHeight < 40;
  let following = new Map();
  function logs() { return document.querySelectorAll("[data-follow]"); }
  for (const l of logs()) end(l);
  document.addEventListener("htmx:before:swap", () => { following = new Map([...logs()].map((l) => [l.id, atEnd(l)])); });
  document.addEventListener("htmx:after:swap", () => {
    sync();
    tick();
    for (const l of logs()) if (following.get(l.id) !== false) end(l);
  });

  // --- Messages stay until they are closed --------------------------------------------------------------------------------
  document.addEventListener("click", (e) => {
    const toast = e.target.closest("[data-close]");
    if (toast) toast.parentElement.remove();
  });
})();
