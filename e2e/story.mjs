// Hears pages as a screen reader tells them, and holds that against what was read and found to be clear.
// Usage: node story.mjs URL FOLDER [write]. Names of stories come on standard input, a line each. Exit code 0 only when every page is told
// as FOLDER/NAME.txt has it and keeps the rules below. With "write" the files are written instead: read them as if you only heard them.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Witness, check, launch } from "./browser.mjs";

const [url, folder, write] = process.argv.slice(2);
const names = readFileSync(0, "utf8").split("\n").filter(Boolean);

/** tell turns the accessibility tree into lines: one for each thing that is announced, indented by what it is in. */
function tell(snapshot) {
  const lines = [];
  for (const line of snapshot.split("\n")) {
    const [, indent, rest] = /^( *)- ?(.*)$/.exec(line) ?? [null, "", line.trim()];
    if (rest.startsWith("/")) continue; // properties, such as where a link leads
    lines.push(indent + rest.replace(/^'(.*)'$/, "$1").replace(/ \[cursor=pointer\]/, "").replace(/:$/, ""));
  }
  return lines;
}

/** rules says what is wrong with a page, whatever it tells. */
async function rules(page, name, lines) {
  const wrong = [];
  const must = (holds, text) => { if (!holds) wrong.push(text); };
  must(/^link "Skip to content"/.test(lines[0]), `begins with ${lines[0]}, not with the way to the content`);
  const unnamed = lines.filter((l) => /^ *(link|button|textbox|searchbox|combobox|checkbox|radio|slider|spinbutton|table|dialog|region|form)( \[[^\]]*\])*$/.test(l));
  must(unnamed.length === 0, `has what has no name: ${unnamed.join(", ")}`);
  const main = lines.findIndex((l) => /^ *main/.test(l));
  const heard = lines.slice(main + 1);
  must(/^ *region "State of the migration"/.test(heard[0]), `the content begins with ${heard[0]}, not with the headline`);
  const levels = heard.map((l) => /^ *heading ".*" \[level=(\d)\]/.exec(l)).filter(Boolean).map((m) => Number(m[1]));
  must(levels[0] === 1 && levels.filter((l) => l === 1).length === 1, `the headings are of levels ${levels}: not one of level 1, which is first`);
  levels.forEach((l, i) => must(i === 0 || l <= levels[i - 1] + 1, `a heading of level ${l} follows one of level ${levels[i - 1]}`));
  const buttons = heard.map((l) => /^ *button "(.*?)"/.exec(l)).filter(Boolean).map((m) => m[1]);
  const vague = buttons.filter((b) => /^(go|ok|yes|submit|start|continue|next|run|apply|save|confirm|do it)$/i.test(b));
  must(vague.length === 0, `has buttons that do not say to what: ${vague}`);
  for (const [what, selector] of [["the headline", "#headline"], ["the state of the page", "#live-state"], ...(/^run-/.test(name) ? [["the state of the run", "header.title"]] : [])]) {
    const n = await page.locator(`${selector}[role=status], ${selector} [role=status], ${selector}[aria-live], ${selector} [aria-live]`).count();
    must(n === 1, `${what} is announced by ${n} live regions, not one`);
  }
  return wrong;
}

const witness = new Witness("");
mkdirSync(folder, { recursive: true });
const browser = await launch();
try {
  const page = await witness.person(browser, "somebody who hears the page");
  for (const name of names) {
    await page.clock.setFixedTime(Date.now()); // what is told of times does not depend on how long the page takes
    await page.goto(`${url}/${name}.light.html`);
    await page.locator("html[data-live=live]").waitFor();
    const lines = tell(await page.locator("body").ariaSnapshot());
    for (const w of await rules(page, name, lines)) witness.complaints.push(`${name} ${w}`);
    const [path, text] = [join(folder, `${name}.txt`), lines.join("\n") + "\n"];
    if (write) {
      writeFileSync(path, text);
      continue;
    }
    const want = readFileSync(path, "utf8").split("\n");
    const at = lines.findIndex((l, i) => l !== want[i]);
    if (at >= 0 || want.length !== lines.length + 1) {
      const n = at < 0 ? lines.length : at;
      witness.complaints.push(`${name} is told otherwise from line ${n + 1} on: ${lines[n] ?? "nothing"}; ${path} has: ${want[n] || "nothing"}`);
    }
  }
  witness.content();
  console.log(`passed: ${names.length} pages ${write ? "written down" : "are told as they were"}`);
  check(names.length > 0, "no page to hear");
} catch (e) {
  console.error(`FAILED: ${e.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
