// The search that opens over any page, and keyboard shortcuts. Everything here is an extra: the button leads to the page
// Search by itself, and every shortcut is a link in the navigation.
(() => {
  "use strict";
  const palette = document.getElementById("palette");
  const help = document.getElementById("shortcuts");
  if (!palette || !help || !palette.showModal) return;
  const input = document.getElementById("palette-q");
  const said = document.getElementById("palette-said");
  const list = () => document.getElementById("palette-list");
  const options = () => [...list().querySelectorAll('[role="option"]')];
  let asked = null; // the request that is under way
  let timer = 0;

  // --- The list -----------------------------------------------------------------------------------------------------------
  function choose(option) {
    for (const o of options()) o.setAttribute("aria-selected", String(o === option));
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }
  const chosen = () => list().querySelector('[aria-selected="true"]');
  function say(text) { if (said.textContent !== text) said.textContent = text; }

  async function suggest() {
    if (asked) asked.abort();
    const mine = asked = new AbortController();
    try {
      const answer = await fetch(palette.dataset.suggest + "?q=" + encodeURIComponent(input.value), {
        headers: { "HX-Request": "true" }, signal: mine.signal,
      });
      const text = await answer.text();
      if (mine !== asked) return;
      if (!answer.ok) {
        say(answer.status === 401 ? "You are signed out: reload the page to sign in."
          : "The search did not answer (" + answer.status + "). Enter opens the search page.");
        return;
      }
      const holder = document.createElement("template");
      holder.innerHTML = text;
      list().replaceWith(holder.content.firstElementChild);
      const some = options();
      input.setAttribute("aria-expanded", String(some.length > 0));
      choose(input.value.trim() ? some[0] : null);
      say(list().dataset.said);
    } catch (e) {
      if (e.name !== "AbortError") say("The server cannot be reached. What is listed may be out of date.");
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    choose(null); // what is listed is not yet for this text
    timer = setTimeout(suggest, 120);
  });
  input.addEventListener("keydown", (e) => {
    const all = options(), at = all.indexOf(chosen());
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      if (!all.length) return;
      const next = e.key === "ArrowDown" ? at + 1 : at < 0 ? all.length - 1 : at - 1;
      choose(all[(next + all.length) % all.length]);
    } else if (e.key === "Enter" && at >= 0) {
      e.preventDefault();
      all[at].click();
    } else if (e.key === "Escape") { // a field of this type would clear itself first
      e.preventDefault();
      palette.close();
    }
  });

  // --- Dialogs: the browser keeps the focus inside, and gives it back ------------------------------------------------------
  function open(dialog) {
    if (document.querySelector("dialog[open]")) return;
    dialog.showModal();
  }
  function search() {
    open(palette);
    input.select();
    suggest();
  }
  for (const dialog of [palette, help]) {
    dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
  }
  document.addEventListener("click", (e) => {
    const button = e.target.closest("[data-palette]");
    if (!button || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    search();
  });

  // --- Keys ---------------------------------------------------------------------------------------------------------------
  const single = () => document.documentElement.dataset.keys !== "off";
  const typing = (el) => el.closest && el.closest("input, textarea, select, [contenteditable]");
  let went = 0; // when g was pressed
  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "k") {
      e.preventDefault();
      if (!palette.open) search();
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || !single() || typing(e.target) ||
      document.querySelector("dialog[open]")) return;
    const afterG = Date.now() - went < 1500;
    went = 0;
    if (afterG && /^[a-z]$/.test(e.key)) {
      const link = document.querySelector('.side [data-go="' + e.key + '"]');
      if (link) { e.preventDefault(); location.assign(link.href); }
    } else if (e.key === "g") {
      went = Date.now();
    } else if (e.key === "/") {
      e.preventDefault();
      search();
    } else if (e.key === "?") {
      e.preventDefault();
      open(help);
    }
  });
})();
