// Works on pages by keyboard alone, as somebody does who has no mouse: what cannot be reached, is not in view or does not show that it
// has the focus, fails.
import { check } from "./browser.mjs";

const furthest = 250; // presses of Tab, on the way to one control

/** where says what has the focus, and on which side of it the wanted control is. */
const where = (target) => target.evaluate((wanted) => {
  const has = document.activeElement;
  const side = has.compareDocumentPosition(wanted);
  const label = has.getAttribute("aria-label") ?? has.innerText ?? "";
  return {
    there: has === wanted,
    nowhere: has === document.body || has === document.documentElement,
    skip: has.matches(".skip") && Boolean(wanted.closest("main")),
    // Nothing has the focus on a new page: the first Tab leads to the link that skips.
    back: has !== document.body && Boolean(side & Node.DOCUMENT_POSITION_PRECEDING),
    text: `${has.localName}${has.id && "#" + has.id} "${label.trim().slice(0, 40)}"`,
  };
});

/** shown says what is wrong with how the control shows that it has the focus; empty: nothing. */
const shown = (target) => target.evaluate((element) => {
  const style = getComputedStyle(element);
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  if (!ring && style.boxShadow === "none") return "does not show that it has the focus";
  const box = element.getClientRects()[0];
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  if (!top) return "has the focus and is out of view";
  return element.contains(top) || top.contains(element) ? "" : `has the focus below ${top.localName}.${top.className}`;
});

/** reach moves the focus to a control: to the content by the link that skips to it, then by Tab. */
export async function reach(page, locator) {
  await locator.waitFor();
  const went = [];
  for (let lost = 0; went.length < furthest;) {
    const at = await where(locator);
    went.push(at.text);
    if (at.there) {
      const wrong = await shown(locator);
      check(!wrong, `${at.text} at ${page.url()} ${wrong}`);
      return;
    }
    if (at.nowhere && went.length > 1) check(++lost < 3, `the focus is lost at ${page.url()}: ${went.slice(-6).join(", ")}`);
    await page.keyboard.press(at.skip ? "Enter" : at.back ? "Shift+Tab" : "Tab");
  }
  throw new Error(`Tab does not lead to ${locator} at ${page.url()}: ${went.slice(-12).join(", ")}`);
}

/** press gives a control the focus and presses Enter. leaves: the press leads to another page, which is waited for. */
export async function press(page, locator, { leaves = false } = {}) {
  await reach(page, locator);
  await Promise.all([leaves && page.waitForEvent("domcontentloaded"), page.keyboard.press("Enter")]);
}

/** write puts a text into a field in place of what is there. */
export async function write(page, locator, text) {
  await reach(page, locator);
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text);
}

/**
 * choose gives a field for files the focus, opens it, and chooses a file. It waits for the choice from before the field is looked for:
 * the browser begins to tell of a choice only some time after it is asked, and a key that is faster is lost.
 */
export async function choose(page, locator, file) {
  const opens = async () => {
    await reach(page, locator);
    await page.keyboard.press("Space");
  };
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), opens()]);
  await chooser.setFiles(file);
}

/** slide moves a slider to a value by its arrow keys. */
export async function slide(page, locator, value) {
  await reach(page, locator);
  for (let n = 0; n < furthest; n++) {
    const now = Number(await locator.inputValue());
    if (now === value) return;
    await page.keyboard.press(now < value ? "ArrowRight" : "ArrowLeft");
  }
  throw new Error(`the arrow keys do not bring ${locator} to ${value}`);
}

/** visit goes to an entry of the menu by its shortcut, or by Tab while the focus is where letters are typed. */
export async function visit(page, name) {
  const link = page.getByRole("navigation").getByRole("link", { name }).first();
  const key = await link.getAttribute("data-go");
  const typing = await page.evaluate(() => document.activeElement.matches("input, textarea, select"));
  if (!key || typing || !(await page.evaluate(() => document.documentElement.classList.contains("js")))) {
    await press(page, link, { leaves: true });
    return;
  }
  await page.keyboard.press("g");
  await Promise.all([page.waitForEvent("domcontentloaded"), page.keyboard.press(key)]);
}

/** keeps checks that an update of the page leaves the focus where it is. */
export async function keeps(page, locator) {
  await reach(page, locator);
  await page.evaluate(() => {
    const done = new Promise((resolve) => document.addEventListener("htmx:after:swap", resolve, { once: true }));
    document.getElementById("stream").dispatchEvent(new Event("update"));
    return Promise.race([done, new Promise((resolve) => { setTimeout(resolve, 3000); })]);
  });
  const at = await where(locator);
  check(at.there, `an update of ${page.url()} moved the focus from ${locator} to ${at.text}`);
}
