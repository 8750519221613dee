// Scores the pages of a running Switchyard with Lighthouse, as on a desktop and on a phone, while orders arrive and the pages update themselves.
// Usage: node run.mjs PROGRAM [--runs N] [--only PAGE,...] [--form desktop|mobile]. Exit code 1 when a page is below a limit; it says by what.
// Reports of the median runs are left in test-results/lighthouse. Called by `make lighthouse`.
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import lighthouse, { desktopConfig, generateReport } from "lighthouse";
import { launch } from "../../e2e/browser.mjs";
import { below, median, row, table } from "./report.mjs";
import { Twin } from "./twin.mjs";

const { values: options, positionals: [program] } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "3" }, only: { type: "string" }, form: { type: "string" } },
});
if (!program) {
  console.error("usage: node run.mjs PROGRAM [--runs N] [--only PAGE,...] [--form desktop|mobile]");
  process.exit(2);
}
const out = join("test-results", "lighthouse");
const rate = 10; // orders a second
const categories = ["performance", "accessibility", "best-practices"];

const limits = {
  desktop: { performance: 99, accessibility: 100, "best-practices": 100 },
  mobile: { performance: 95, accessibility: 100, "best-practices": 100 },
};

/** pagesOf are the pages that are measured: name, address, and whether it updates itself. */
const pagesOf = (mid, run) => [
  ["overview", `/m/${mid}`, true],
  ["step", `/m/${mid}/steps/fix-policy`, true],
  ["run", `/m/${mid}/runs/${run}`, true],
  ["cutover", `/m/${mid}/steps/cutover`, true],
  ["outage", `/m/${mid}/outage`, true],
  ["queues", `/m/${mid}/queues`, true],
  ["flags", `/m/${mid}/flags`, true],
  ["report", `/m/${mid}/report`, false],
].filter(([name]) => !options.only || options.only.split(",").includes(name));

/** freePort gives a port of loopback that nobody listens at. */
const freePort = () => new Promise((resolve, reject) => {
  const server = createServer().on("error", reject).listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** measure scores a page once; again where Lighthouse itself could not record it, which is no word on the page. */
async function measure(url, form, port, cookie, tries = 5) {
  const result = await lighthouse(url, {
    port, logLevel: "error", onlyCategories: categories, extraHeaders: { Cookie: cookie },
    maxWaitForLoad: 8000, // the page never rests, its stream stays open: two or three updates arrive until then
    disableFullPageScreenshot: true, // seconds for each run, and no score depends on it
  }, form === "desktop" ? desktopConfig : undefined);
  const failed = result.lhr.runtimeError;
  if (failed && tries > 1) {
    console.error(`${url}: ${failed.code}, once more`);
    return measure(url, form, port, cookie, tries - 1);
  }
  if (failed) throw new Error(`${url}: ${failed.message}`);
  if (result.lhr.finalDisplayedUrl !== url) throw new Error(`${url} leads to ${result.lhr.finalDisplayedUrl}`);
  return result.lhr;
}

let twin;
let browser;
let interrupted;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => { interrupted = signal; });
const goOn = () => { if (interrupted) throw new Error(`ended by ${interrupted}`); };

async function all() {
  twin = await Twin.start(program, rate);
  goOn();
  const run = await twin.run("audit");
  await twin.measured(3);
  const port = await freePort();
  process.env.TZ = "Europe/Berlin"; // of the browser: most readers are not in UTC, and their times are written anew
  browser = await launch(`--remote-debugging-port=${port}`);
  mkdirSync(out, { recursive: true });
  const rows = [];
  const wrong = [];
  for (const [name, path, live] of pagesOf(twin.mid, run)) {
    for (const form of Object.keys(limits).filter((f) => !options.form || f === options.form)) {
      const runs = [];
      for (let n = 0; n < Number(options.runs); n++) {
        goOn();
        runs.push(await measure(twin.url + path, form, port, twin.cookie));
      }
      const typical = median(runs, (lhr) => lhr.categories.performance.score);
      writeFileSync(join(out, `${name}-${form}.html`), generateReport(typical, "html"));
      writeFileSync(join(out, `${name}-${form}.json`), generateReport(typical, "json"));
      const measured = row(name, form, runs, typical);
      rows.push(measured);
      console.log(table([measured], rows.length === 1));
      wrong.push(...below(measured, limits[form], typical));
      // A page of which nothing changed asks all the same, and is told so.
      if (live && measured.checks === 0) wrong.push(`${name}, ${form}: it did not ask for an update while it was measured, so the score is not that of a live page`);
    }
  }
  const { lighthouseVersion } = rows[0];
  console.log(`\nLighthouse ${lighthouseVersion}, Chromium ${browser.version()}, median of ${options.runs}; ${rate} orders a second; reports: ${out}`);
  return wrong;
}

try {
  const wrong = await all();
  for (const text of wrong) console.error(text);
  if (wrong.length > 0) process.exitCode = 1;
} catch (e) {
  console.error(`lighthouse: ${e.stack}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  await twin?.close();
}
