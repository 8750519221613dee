// Keeps what was typed into forms, in this tab, until it was submitted: a session that ends, a server that restarts and a reload lose none of it.
// Not kept: passwords, hidden fields, and fields that say autocomplete="off": what must be typed for the very thing that is shown, or names an order.
(() => {
  "use strict";
  const sentKey = "draft-sent";
  const kinds = new Set(["hidden", "password", "file", "submit", "button", "reset", "image"]);
  const keyOf = (form) => "draft:" + new URL(form.getAttribute("action") || "", location.href).pathname + "#" + form.id;
  const fields = (form) => [...form.elements].filter((f) => f.name && f.matches("input, textarea, select") && !kinds.has(f.type) && f.autocomplete !== "off");
  const isChoice = (f) => f.type === "checkbox" || f.type === "radio";
  const now = (f) => (isChoice(f) ? f.checked : f.value);
  const first = (f) => {
    if (isChoice(f)) return f.defaultChecked;
    if (f.type !== "select-one") return f.defaultValue;
    return (f.querySelector("option[selected]") || f.options[0])?.value;
  };
  const nameOf = (f) => (f.type === "radio" ? f.name + "=" + f.value : f.name);

  function keep(form) {
    if (form.method !== "post" || form.closest(".side")) return;
    const typed = {};
    for (const f of fields(form)) if (now(f) !== first(f)) typed[nameOf(f)] = now(f);
    try {
      if (Object.keys(typed).length > 0) sessionStorage.setItem(keyOf(form), JSON.stringify(typed));
      else sessionStorage.removeItem(keyOf(form));
    } catch {
      // Full, or not allowed: then nothing is kept.
    }
  }

  function restore(form) {
    const kept = form.method === "post" && sessionStorage.getItem(keyOf(form));
    if (!kept) return;
    const typed = JSON.parse(kept);
    let any = false;
    for (const f of fields(form)) {
      const value = typed[nameOf(f)];
      if (value === undefined || now(f) !== first(f) || now(f) === value) continue;
      if (isChoice(f)) f.checked = value;
      else f.value = value;
      any = true;
    }
    if (any) note(form);
  }

  const noted = new Set();

  /** note says in a form that something was restored, also after an update of the page, which takes away what the server did not send. */
  function note(form) {
    noted.add(keyOf(form));
    const said = !form.querySelector(".draft-kept") && document.getElementById("draft-kept")?.content.firstElementChild.cloneNode(true);
    if (said) form.append(said);
  }

  /** settle forgets what was submitted, unless what came back is a refusal or asks to sign in. */
  function settle() {
    const sent = sessionStorage.getItem(sentKey);
    sessionStorage.removeItem(sentKey);
    if (sent && !document.querySelector("#notice, .failure, .signin")) sessionStorage.removeItem(sent);
  }

  try {
    settle();
    for (const form of document.forms) restore(form);
  } catch {
    return; // no storage: everything else works
  }
  for (const name of ["input", "change"]) {
    document.addEventListener(name, (e) => { if (e.target.form) keep(e.target.form); });
  }
  document.addEventListener("htmx:after:swap", () => {
    for (const form of document.forms) if (noted.has(keyOf(form))) note(form);
  });
  document.addEventListener("submit", (e) => {
    if (e.defaultPrevented || e.target.method !== "post") return;
    keep(e.target);
    sessionStorage.setItem(sentKey, keyOf(e.target));
  });
  document.addEventListener("click", (e) => {
    if (!e.target.closest("[data-discard]")) return;
    const form = e.target.closest("form");
    sessionStorage.removeItem(keyOf(form));
    noted.delete(keyOf(form));
    form.reset();
    e.target.closest(".draft-kept").remove();
  });
})();
