// Looks at every page of the storybook, at widths from a phone to a wall, light and dark, with and without JavaScript.
// Usage: node looks.mjs URL [all]. Names of stories come on standard input, a line each. Without "all" each story is looked at once, at a
// combination that goes by its place in the list. Exit code 0 only when there is nothing to complain about.
import { readFileSync } from "node:fs";
import { Witness, axeSource, launch } from "./browser.mjs";

const [url, extent] = process.argv.slice(2);
const names = readFileSync(0, "utf8").split("\n").filter(Boolean);
const tabs = 2;
const smallest = 11; // px, of a letter's height as CSS counts it
const mostShift = 0.02;
const threeScreens = 3 * 844; // px, how high a page of a main task may be on a phone; documents may be longer
const documents = /^(report-|gallery$)/;

const combinations = [390, 768, 1440, 2560].flatMap((width) => ["light", "dark"].map((theme) => ({ width, theme })));
const looks = names.flatMap((name, i) => (extent === "all" ? combinations : [combinations[i % combinations.length]]).map((c) => ({ name, ...c })));

const witness = new Witness("");
const complain = (at, text) => witness.complaints.push(`${at.name}, ${at.width} px, ${at.theme}: ${text}`);

/** measure says what is wrong with a page as it stands. */
function measure({ least, script }) {
  const wrong = [];
  const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (over > 0) wrong.push(`scrolls sideways by ${over} px`);
  if (!document.querySelector("main").innerText.trim()) wrong.push("has nothing to read");
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const small = new Set();
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !parent.checkVisibility({ visibilityProperty: true }) || parent.closest(".sr")) continue;
    const scale = parent instanceof SVGElement ? parent.getScreenCTM?.()?.d ?? 1 : 1;
    const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
    if (size < least - 0.01) small.add(`${size.toFixed(1)} px: ${walk.currentNode.data.trim().slice(0, 30)}`);
  }
  if (small.size > 0) wrong.push(`has text below ${least} px: ${[...small].slice(0, 3).join("; ")}`);
  for (const chip of document.querySelectorAll(".chip")) {
    const a = chip.getBoundingClientRect();
    const covers = (b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3; // leading
    const under = [...chip.parentElement.children].find((e) => e !== chip && !e.matches(".sr") && [...e.getClientRects()].some(covers));
    if (under) wrong.push(`shows "${chip.innerText.trim()}" over "${under.innerText?.trim().slice(0, 30)}"`);
  }
  if (script) return wrong;
  for (const form of document.querySelectorAll("form:not([method=dialog])")) {
    const dialog = form.closest("dialog:not([open])"); // without a script only a button that names it opens it
    if (dialog && !document.querySelector(`[commandfor="${dialog.id}"]`)) continue;
    const named = form.hasAttribute("method") && form.hasAttribute("action");
    const sent = [...form.elements].some((e) => e.type === "submit") || document.querySelector(`button[form="${form.id || " "}"]`);
    if (!named || !sent) wrong.push(`has a form that a browser without JavaScript cannot send: ${form.outerHTML.slice(0, 120)}`);
  }
  return wrong;
}

/** rest waits until fonts are there and what was asked for is painted; gives how far things moved until then. */
const rest = () => document.fonts.ready
  .then(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }))
  .then(() => globalThis.shifted());

function countShifts() {
  let sum = 0;
  const what = [];
  const box = (r) => [r.x, r.y, r.width, r.height].map(Math.round).join(",");
  const add = (list) => {
    for (const e of list) {
      if (e.hadRecentInput) continue;
      sum += e.value;
      what.push(...e.sources.map((x) => `${x.node?.nodeName} ${x.node?.id || x.node?.className || ""} ${box(x.previousRect)} to ${box(x.currentRect)}`));
    }
  };
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  globalThis.shifted = () => { add(observer.takeRecords()); return { sum, what: what.slice(0, 4).join("; ") }; };
}

async function axe(page) {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const result = await globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa"], rules: { "target-size": { enabled: true } }, resultTypes: ["violations"],
    });
    return result.violations.map((v) => `${v.id} (${v.help}): ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" ")}`);
  });
}

async function open(page, at) {
  await page.setViewportSize({ width: at.width, height: at.width < 900 ? 844 : 900 });
  await page.waitForFunction((width) => innerWidth === width, at.width); // else the new page may be resized while it loads
  await page.goto(`${url}/${at.name}.${at.theme}.html`);
}

async function look(page, at) {
  await open(page, at);
  const shift = await page.evaluate(rest);
  if (shift.sum >= mostShift) complain(at, `moved by ${shift.sum.toFixed(3)} while it loaded: ${shift.what}`);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  if (at.width === 390 && !documents.test(at.name) && height > threeScreens) complain(at, `is ${height} px high, at most ${threeScreens} px`);
  for (const w of await page.evaluate(measure, { least: smallest, script: true })) complain(at, w);
  for (const v of await axe(page)) complain(at, v);
  witness.scans++;
}

async function lookWithoutScript(page, at) {
  await open(page, at);
  for (const w of await page.evaluate(measure, { least: smallest, script: false })) complain(at, `without JavaScript ${w}`);
}

/** work takes looks from the list until there are none. */
async function work(browser, left) {
  const page = await witness.person(browser, "with JavaScript");
  await page.context().addInitScript(countShifts);
  const bare = await witness.person(browser, "without JavaScript", { javaScriptEnabled: false });
  for (let at = left.shift(); at; at = left.shift()) {
    try {
      await look(page, at);
      await lookWithoutScript(bare, at);
    } catch (e) {
      complain(at, e.message);
    }
  }
}

const browser = await launch();
try {
  const left = [...looks];
  await Promise.all(Array.from({ length: tabs }, () => work(browser, left)));
  witness.content();
  console.log(`passed: ${witness.scans} looks at ${names.length} pages`);
} catch (e) {
  console.error(`FAILED: ${e.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
