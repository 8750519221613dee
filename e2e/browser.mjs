// A browser with a critical eye: whatever a page complains about, and whatever fails to load, is kept and counts as a failure of the path.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

export const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** executable finds Chromium: $CHROMIUM, or what the PATH has. */
function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const dir of process.env.PATH.split(delimiter)) {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      if (existsSync(join(dir, name))) return join(dir, name);
    }
  }
  throw new Error("there is no chromium in the PATH: run scripts/setup chromium, or set CHROMIUM to where it is");
}

/** launch starts headless Chromium, with more flags where somebody else drives it too. */
export const launch = (...more) => chromium.launch({ executablePath: executable(), headless: true, args: [...flags, ...more] });

/** What every picture is taken at. */
const views = [
  { name: "1440", width: 1440, height: 900 },
  { name: "390", width: 390, height: 844 },
];
const tallest = 3000; // pixels; what is below is more of the same

/** check throws a message that a person understands. */
export function check(holds, message) {
  if (!holds) throw new Error(message);
}

/** Witness keeps what went wrong in any page it watches, and looks at pages: pictures, accessibility, width. */
export class Witness {
  complaints = [];
  scans = 0;
  pictures = 0;
  #expected = [];

  constructor(outDir) {
    this.outDir = outDir;
  }

  /** expect allows answers with this status to addresses that match, such as the refusal that the path provokes. */
  expect(status, pattern) {
    this.#expected.push({ status, pattern });
  }

  #isExpected(status, url) {
    return this.#expected.some((e) => e.status === status && e.pattern.test(url));
  }

  /** person opens a context of their own, as somebody else's computer, and one page in it. */
  async person(browser, name, options = {}) {
    const context = await browser.newContext({ viewport: views[0], colorScheme: "light", locale: "en-GB", ...options });
    context.setDefaultTimeout(60_000); // against a hang: other rehearsals run beside this one
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => {
        console.error(`content policy: ${e.effectiveDirective} forbids ${e.blockedURI || "inline"} at ${e.sourceFile}:${e.lineNumber}`);
      });
    });
    context.on("page", (page) => this.#watch(page, name));
    return context.newPage();
  }

  #watch(page, name) {
    const complain = (text) => this.complaints.push(`${name} at ${page.url()}: ${text}`);
    page.on("pageerror", (e) => complain(`script error: ${e.message}`));
    page.on("console", (m) => {
      const refused = /status of (\d+)/.exec(m.text());
      if (refused && this.#isExpected(Number(refused[1]), m.location().url)) return;
      if (m.type() === "error" || m.type() === "warning") complain(`console ${m.type()}: ${m.text()}`);
    });
    page.on("requestfailed", (r) => {
      // Leaving a page ends its event stream and whatever it was fetching.
      if (r.failure()?.errorText !== "net::ERR_ABORTED") complain(`${r.method()} ${r.url()}: ${r.failure()?.errorText}`);
    });
    page.on("response", (r) => {
      if (r.status() >= 400 && !this.#isExpected(r.status(), r.url())) complain(`${r.request().method()} ${r.url()}: status ${r.status()}`);
    });
  }

  /** look takes pictures of a page at both sizes in both themes, and scans each size and each theme once for accessibility. */
  async look(page, name, { scan = true } = {}) {
    for (const view of views) {
      await page.setViewportSize(view);
      for (const scheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: scheme });
        await this.#picture(page, `${name}-${view.name}-${scheme}`, view);
        if (scan && (scheme === "light") === (view.width > 900)) await this.#scan(page, `${name}, ${view.name} px, ${scheme}`);
      }
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) this.complaints.push(`${name} at ${view.name} px scrolls sideways by ${over} px`);
    }
    await page.setViewportSize(views[0]);
    await page.emulateMedia({ colorScheme: "light" });
  }

  async #picture(page, name, view) {
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    const clip = { x: 0, y: 0, width: view.width, height: Math.min(Math.max(height, view.height), tallest) };
    await page.screenshot({ path: join(this.outDir, name + ".png"), fullPage: true, clip });
    this.pictures++;
  }

  async #scan(page, where) {
    await page.evaluate(axeSource); // by the debugger, which the content policy does not bind
    const found = await page.evaluate(async () => {
      // To read a colour, axe sets a style and takes it back, which leaves style="" behind: an update of the page would copy that, and the content policy complain.
      const left = new MutationObserver((changes) => {
        for (const { target } of changes) if (target.getAttribute("style") === "") target.removeAttribute("style");
      });
      left.observe(document, { subtree: true, attributes: true, attributeFilter: ["style"] });
      const result = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"] });
      left.disconnect();
      return result.violations.map((v) => `${v.id} (${v.help}): ${v.nodes.slice(0, 3).map((n) => n.html).join(" ")}`);
    });
    this.scans++;
    for (const v of found) this.complaints.push(`accessibility of ${where}: ${v}`);
  }

  /** content throws when anything was found to complain about. */
  content() {
    const once = [...new Set(this.complaints)];
    check(once.length === 0, `${once.length} complaints:\n  ${once.join("\n  ")}`);
  }
}
