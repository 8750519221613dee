// Clicks through a whole migration as a person would: only what the pages offer, in the order in which they recommend it, until every
// criterion is met. All of it goes by keyboard. Usage: node path.mjs URL ADA_PASSWORD GRACE_PASSWORD LEE_PASSWORD OUTDIR SCAN, the last being what switchyard scan --evidence wrote
// Prints a line per step. Exit code 0 only when everything was as it should be.
import { mkdirSync } from "node:fs";
import { Witness, check, launch } from "./browser.mjs";
import { choose, keeps, press, slide, visit, write } from "./keys.mjs";

const [url, adaPassword, gracePassword, leePassword, outDir, scan] = process.argv.slice(2);
if (!scan) {
  console.error("usage: node path.mjs URL ADA_PASSWORD GRACE_PASSWORD LEE_PASSWORD OUTDIR SCAN");
  process.exit(2);
}

const began = Date.now();
const say = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)}s  ${text}`);

// Patience, in milliseconds: for one run, for the next thing to be offered, and how many times a person repeats what was refused or failed.
const runPatience = 240_000;
const offerPatience = 240_000;
const refusals = 30;
const failures = 2;

const steps = [
  "audit", "fix-policy", "sentinel-move", "sentinel-test", "provision", "breaker-drill", "webhook-retry", "dual-write-validation", "move-queues", "move-residue",
  "decommission",
];
const stages = ["dualwrite", "shadow", "dualwrite", "shadow", "live", "rampdown", "complete"];

// Steps whose page gets a picture: they are of one kind, and each picture takes seconds.
const pictured = ["audit", "sentinel-move", "decommission"];

const witness = new Witness(outDir);
const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();
const there = async (locator) => (await locator.count()) > 0;

async function signIn(page, name, password) {
  await page.goto(url);
  await write(page, page.getByLabel("Name"), name);
  await write(page, page.getByLabel("Password"), password);
  await press(page, page.getByRole("button", { name: "Sign in" }), { leaves: true });
  await page.locator("#score-title").waitFor();
}

async function overview(page) {
  await visit(page, "Overview");
  await page.locator("#score-title").waitFor();
}

/** until waits for a page to show something by itself, as its event stream brings it. */
async function until(page, seen, patience, what) {
  for (const deadline = Date.now() + patience; ; await page.waitForTimeout(200)) {
    const value = await seen();
    if (value) return value;
    check(Date.now() < deadline, `${what}: not seen within ${patience / 1000} s at ${page.url()}`);
  }
}

async function metCount(page) {
  const m = /(\d+) of (\d+)/.exec(await text(page.locator("#score-title")));
  return { met: Number(m[1]), all: Number(m[2]) };
}

/** noButtons checks that a page offers its reader nothing that acts; a search only looks. */
async function noButtons(page, what) {
  await page.locator("main h1").waitFor({ state: "attached" });
  check(!(await there(page.locator("main form[method=post]"))), `${what} offers a viewer a form that acts`);
  const buttons = await page.locator("main button:not([data-copy]):not(form[method=get] button)").allInnerTexts();
  check(buttons.every((b) => b === "View plan"), `${what} offers a viewer buttons: ${buttons}`);
}

/** atStart: seven criteria, none met, the audit first; and what each role is offered. */
async function atStart(ada, lee) {
  const { met, all } = await metCount(ada);
  check(met === 0 && all === 7, `at the start ${met} of ${all} criteria are met, not 0 of 7`);
  const verdicts = await ada.locator("[id^=criterion-]").evaluateAll((cards) => cards.map((c) => c.dataset.verdict));
  check(verdicts.length === 7 && !verdicts.includes("met"), `at the start the criteria are ${verdicts}`);
  check((await ada.locator("#next-step").getAttribute("href")).includes("/steps/audit"), "the audit is not the recommended first step");
  say(`nothing has run: 0 of 7 met (${verdicts.join(", ")}), the audit is recommended`);
  await witness.look(ada, "overview-start");
  await noButtons(lee, "the overview");
  await press(lee, lee.locator("#next-step"), { leaves: true });
  await lee.locator("#start-title").waitFor();
  await noButtons(lee, "the step page");
  check(await there(lee.getByText("You are signed in as a viewer")), "the step page does not tell a viewer why there is no button");
  say("lee sees the plan of the audit and no button");
}

/** withoutScript audits again in a browser without JavaScript. */
async function withoutScript(browser) {
  const page = await witness.person(browser, "ada without JavaScript", { javaScriptEnabled: false });
  await signIn(page, "ada", adaPassword);
  await press(page, page.locator("#steps-done summary"));
  await press(page, page.locator("#step-audit a"), { leaves: true });
  await press(page, page.locator("#start"), { leaves: true });
  await page.waitForURL(/\/runs\//);
  await until(page, async () => {
    if (/^Done/.test(await text(page.locator("header.title .chip")))) return true;
    await press(page, page.getByRole("link", { name: "Refresh" }), { leaves: true });
    await page.locator("header.title .chip").waitFor();
    return false;
  }, runPatience, "the end of an audit without JavaScript");
  await press(page, page.getByRole("button", { name: "Sign out" }).first(), { leaves: true });
  await page.getByLabel("Name").waitFor();
  say("without JavaScript: signed in, audited, saw the result, signed out");
  await page.context().close();
}

/** start presses the button of the step page. True: it led to a run. False: refused, so look at the overview again. */
async function start(page, title) {
  const ready = await until(page, async () => {
    if (!(await there(page.locator("#start")))) return "gone";
    return (await page.locator("#start").isEnabled()) && "yes";
  }, offerPatience, `${title}: a start button that can be pressed`).catch(async (e) => {
    const why = (await there(page.locator("#start-why"))) ? await text(page.locator("#start-why")) : "no reason shown";
    throw new Error(`${e.message}. The page says: ${why} ${(await page.locator(".gates li:not([data-ok])").allInnerTexts()).join("; ").replace(/\s+/g, " ")}`);
  });
  if (ready === "gone") return false;
  await press(page, page.locator("#start"), { leaves: true });
  await page.waitForURL(/\/runs\/|\/start$/);
  if (/\/runs\//.test(page.url())) return true;
  const why = await text(page.locator("#notice"));
  say(`  refused for now: ${why.slice(0, 160)}`);
  return false;
}

const runState = async (page) => text(page.locator("header.title .chip"));

/** decide approves an open run from its page, for its start or for the action it waits with. What cannot be undone is left to a second person. */
async function decide(page, grace) {
  if (await page.locator("#approve").isEnabled()) {
    await write(page, page.locator("#comment"), "Read the plan, go ahead");
    await press(page, page.locator("#approve"), { leaves: true });
    await page.waitForURL(/\/runs\/[^/]+$/);
    return;
  }
  check(await there(page.locator("#approve-why")), "the approve button is disabled without a reason");
  say(`  ada may not: ${await text(page.locator("#approve-why"))}`);
  await witness.look(page, "run-own-irreversible");
  await approveAsSecond(grace);
}

/** approveAsSecond is grace: finds the run from her overview, mistypes the name once, and then approves. */
async function approveAsSecond(grace) {
  await overview(grace);
  check((await grace.locator("#next-step").getAttribute("data-verb")) === "approve", "grace is not asked to approve");
  await press(grace, grace.locator("#next-step"), { leaves: true });
  const name = grace.locator("#confirm-name");
  await name.waitFor();
  await witness.look(grace, "run-approve-irreversible");
  await write(grace, name, "some other name");
  await write(grace, grace.locator("#comment"), "Backups checked");
  // News that arrives while somebody types must not take away what they typed.
  await keeps(grace, name);
  check((await name.inputValue()) === "some other name", "a live update took away the name that was being typed");
  await press(grace, grace.locator("#approve"), { leaves: true });
  await grace.locator("#notice").waitFor();
  say(`  grace mistypes the name: ${await text(grace.locator("#notice"))}`);
  check((await grace.locator("#comment").inputValue()) === "Backups checked", "the comment is gone after a refusal");
  await witness.look(grace, "run-refused");
  const asked = await text(grace.locator("label[for=confirm-name] strong"));
  check(asked === (await text(grace.locator(".bar-name"))), `the name to type is ${asked}, which is not the migration's`);
  await write(grace, name, asked);
  await press(grace, grace.locator("#approve"), { leaves: true });
  await grace.waitForURL(/\/runs\/[^/]+$/);
  say("  grace approved");
}

/** watch stays on the run page until it shows the end by itself, and approves single actions on the way; gives the final word. */
async function watch(page, grace, picture) {
  const ended = /^(Done|Failed|Cancelled|Rejected|Rolled back)/;
  for (;;) {
    const state = await until(page, async () => {
      const now = await runState(page);
      return (ended.test(now) || /^Waiting/.test(now)) && now;
    }, runPatience, "the end of the run");
    if (ended.test(state)) return state;
    const action = await page.locator("#decide-form input[name=action]").getAttribute("value");
    say(`  waits for an approval of ${action}`);
    await picture(`run-approve-${action}`, page.url());
    await decide(page, grace);
  }
}

/** Things worth a picture when they first happen. Each is looked at from a second tab, so that the path itself is not disturbed. */
function album(tab) {
  const taken = new Set();
  return async (name, address, options) => {
    if (taken.has(name)) return;
    taken.add(name);
    await tab.goto(address);
    await witness.look(tab, name, options);
  };
}

/** submitScan brings what the scan of the app's source found, by the form of the page Breaker. */
async function submitScan(page, lee) {
  for (const who of [page, lee]) {
    await visit(who, "Breaker");
    await who.locator("#scan-title").waitFor();
  }
  await noButtons(lee, "the page Breaker");
  check((await text(page.locator("[data-queue=order-ingestion] [data-proof=static]"))).includes("Unknown"), "the source is taken for proven before anybody scanned it");
  await choose(page, page.locator("#scan-file"), scan);
  await press(page, page.getByRole("button", { name: "Submit the scan" }), { leaves: true });
  await page.locator("#scan [data-verdict=PASS]").first().waitFor();
  check((await text(page.locator("[data-queue=order-ingestion] [data-proof=static]"))).includes("Met"), "the scan does not show in the matrix");
  say("submitted the scan of the app's source on the page Breaker");
}

/** asksWhatIf moves the slider of the page Retry deadlines to five hours and reads the advice. */
async function asksWhatIf(page) {
  await visit(page, "Retry deadlines");
  await page.locator("#length").waitFor();
  await slide(page, page.locator("#length"), 11);
  await page.getByRole("heading", { name: "Simulate an outage of 5 h" }).waitFor();
  check((await text(page.locator("[data-forecast=shopify]"))).includes("Would lose orders"), "five hours are said to be harmless to Shopify's orders");
  check((await text(page.locator("[data-forecast=stripe]"))).includes("All late, none lost"), "five hours are said to lose Stripe's orders");
  await witness.look(page, "outage");
}

/** testsSetup has everything asked that the configuration names, again where servers under load were slow to answer. */
async function testsSetup(page) {
  await visit(page, "Set-up");
  for (let tries = 1; ; tries++) {
    await page.locator("#test-all:not([disabled])").evaluate((button) => button.setAttribute("data-before", ""));
    await press(page, page.locator("#test-all"));
    await page.locator("#test-all:not([disabled]):not([data-before])").waitFor();
    const failed = await page.locator("[data-key][data-state=fails]").allInnerTexts();
    if (failed.length === 0) break;
    say(`on the page Set-up: ${failed.join("; ")}`);
    check(tries < 10, "the page Set-up does not find everything to be well");
  }
  for (const part of ["source.standalone.url", "source.sentinel", "ingestion.url"]) {
    await page.locator(`[data-key="${part}"][data-state=ok]`).first().waitFor();
  }
  await witness.look(page, "set-up-tested");
}

/** places looks at the pages that are not on the path: every entry of the menu, an observation, an address that leads nowhere. */
async function places(page, lee) {
  for (const [link, name] of [["Cutover", "cutover"], ["Queues", "queues"], ["Flags", "flags"], ["Breaker", "breaker"], ["Cost", "capacity"], ["Plan", "plan"], ["Runs", "runs"], ["Report", "report"], ["Alerts", "alerts"], ["People", "people"], ["Set-up", "set-up"], ["Audit log", "audit-log"]]) {
    for (const who of [page, lee]) {
      await visit(who, link);
      await who.locator("main h1").waitFor();
    }
    await noButtons(lee, `the page ${link}`);
    await witness.look(page, name);
  }
  await asksWhatIf(page);
  await testsSetup(page);
  const queues = async () => {
    await visit(page, "Queues");
    await page.locator("#side-source").waitFor();
  };
  await queues();
  await press(page, page.getByRole("link", { name: "Cutover readiness" }), { leaves: true });
  await page.locator('[data-line="workers"]').waitFor();
  await witness.look(page, "cutover-report");
  await queues();
  await press(page, page.locator("[data-board=order-ingestion]").getByRole("link"), { leaves: true });
  await page.locator("#side-source [data-count]").first().waitFor();
  await witness.look(page, "queue");
  await queues();
  await press(page, page.getByRole("link", { name: "Find a job" }), { leaves: true });
  await write(page, page.getByLabel("Job id"), "nobody");
  await press(page, page.getByRole("button", { name: "Find" }));
  await page.locator("#side-source").waitFor();
  await witness.look(page, "jobs");
  await overview(page);
  await witness.look(page, "overview-live");
  await press(page, page.locator("#criterion-circuit-breaker").getByRole("link", { name: /^Evidence/ }), { leaves: true });
  await page.locator("#history-title").waitFor();
  await press(page, page.locator("main details summary").first());
  await witness.look(page, "evidence");
  witness.expect(404, /\/m\/nothing$/);
  await page.goto(new URL("/m/nothing", url).href);
  await witness.look(page, "error");
  await press(page, page.locator(".failure").getByRole("link", { name: "Overview", exact: true }), { leaves: true });
  await page.locator("#score-title").waitFor();
  // The choice of theme holds over pages, and back to the system's.
  await press(page, page.getByRole("button", { name: "Dark" }).first(), { leaves: true });
  await page.locator("html[data-theme=dark]").waitFor();
  await press(page, page.getByRole("button", { name: "Auto" }).first(), { leaves: true });
  await page.locator("html:not([data-theme=dark])").waitFor();
  say("looked at every entry of the menu, an observation, and an address that leads nowhere");
}

/** follow does what is recommended until every criterion is met; gives what was done, in order. */
async function follow(ada, grace, tab, lee, browser) {
  const done = [], failed = {}, picture = album(tab);
  let refused = 0, toured = false, scanned = false;
  for (;;) {
    await overview(ada);
    const { met, all } = await metCount(ada);
    if (met === all) return done;
    await until(ada, () => there(ada.locator("#next-step")), offerPatience, `a next step, with ${met} of ${all} met`);
    const next = ada.locator("#next-step");
    const [href, title] = [await next.getAttribute("href"), await text(ada.locator(".nextstep .lead"))];
    if (!toured && /to=live/.test(href) && done.some((d) => /to=live/.test(d))) {
      toured = true;
      await places(tab, lee);
    }
    const id = /steps\/([^#]*)/.exec(href)?.[1] ?? "run";
    if (!scanned && id === "breaker-drill") {
      scanned = true;
      await submitScan(tab, lee);
    }
    const stepID = id.replace(/\?.*/, "");
    if (pictured.includes(stepID)) await picture(`step-${stepID}`, new URL(href, url).href);
    if (done.length === 0) await keeps(ada, next);
    await press(ada, next, { leaves: true });
    await ada.locator("main h1").waitFor();
    const since = Date.now();
    if (id !== "run" && !(await start(ada, title))) {
      check(++refused < refusals, `${title}: refused ${refused} times`);
      await ada.waitForTimeout(1000);
      continue;
    }
    refused = 0;
    if (/^Waiting/.test(await runState(ada))) {
      await picture("run-approve", ada.url());
      await lee.goto(ada.url());
      await noButtons(lee, "a run that waits for approval");
      await decide(ada, grace);
    }
    if (stepID === "sentinel-test") await picture("run-under-way", ada.url(), { scan: false });
    const end = await watch(ada, grace, picture);
    say(`${title}: ${end} in ${((Date.now() - since) / 1000).toFixed(1)} s (${met} of ${all} met before)`);
    if (end.startsWith("Done")) {
      done.push(id);
      await picture("run-done", ada.url());
      if (id === "audit") await withoutScript(browser);
      continue;
    }
    failed[id] = (failed[id] ?? 0) + 1;
    const why = (await there(ada.locator("#run-error"))) ? await text(ada.locator("#run-error")) : end;
    await picture("run-failed", ada.url());
    check(failed[id] <= failures, `${title}: ${why}`);
    say(`  ${why}`);
  }
}

/** inOrder checks that everything was done that the plan names, and the cutover in its order with the way back rehearsed. */
function inOrder(done) {
  for (const s of steps) check(done.includes(s), `the path never led through ${s}: ${done.join(", ")}`);
  const moves = done.filter((d) => d.startsWith("cutover")).map((d) => new URLSearchParams(d.split("?")[1]).get("to"));
  const once = moves.filter((m, i) => m !== moves[i - 1]);
  check(once.join() === stages.join(), `the cutover went ${once.join(", ")}, not ${stages.join(", ")}`);
  check(moves.filter((m) => m === "live").length > 1, "the ramp went up at once");
}

async function atEnd(ada, lee) {
  const verdicts = await ada.locator("[id^=criterion-]").evaluateAll((cards) => cards.map((c) => c.dataset.verdict));
  check(verdicts.length === 7 && verdicts.every((v) => v === "met"), `at the end the criteria are ${verdicts}`);
  for (const [id, name] of [["lost", "lost"], ["twice", "applied twice"]]) {
    const n = await text(ada.locator(`#orders-${id} dd`));
    check(n === "0", `at the end ${n} orders are ${name}`);
  }
  await witness.look(ada, "overview-end");
  await overview(lee);
  await noButtons(lee, "the overview at the end");
  say(`7 of 7 met; orders acknowledged ${await text(ada.locator("#orders-acknowledged dd"))}, lost 0, applied twice 0`);
}

async function path(browser) {
  const ada = await witness.person(browser, "ada");
  await ada.goto(url);
  await witness.look(ada, "sign-in");
  witness.expect(401, /\/sign-in$/);
  await write(ada, ada.getByLabel("Name"), "ada");
  await write(ada, ada.getByLabel("Password"), "wrong");
  await press(ada, ada.getByRole("button", { name: "Sign in" }), { leaves: true });
  await ada.locator("#notice").waitFor();
  say(`a wrong password: ${await text(ada.locator("#notice"))}`);
  await signIn(ada, "ada", adaPassword);
  const [lee, grace, tab] = [await witness.person(browser, "lee"), await witness.person(browser, "grace"), await ada.context().newPage()];
  await signIn(lee, "lee", leePassword);
  await signIn(grace, "grace", gracePassword);
  witness.expect(412, /\/start$/); // preconditions that do not hold yet
  witness.expect(409, /\/start$/); // the plan changed while it was read
  witness.expect(400, /\/approve$/); // the mistyped name
  await atStart(ada, lee);
  const done = await follow(ada, grace, tab, lee, browser);
  inOrder(done);
  await atEnd(ada, lee);
  witness.content();
}

mkdirSync(outDir, { recursive: true });
const browser = await launch().catch((e) => {
  console.error(`FAILED: ${e.message}`);
  process.exit(1);
});
try {
  await path(browser);
  say(`passed: ${witness.scans} accessibility scans without a violation, ${witness.pictures} pictures`);
} catch (e) {
  console.error(`FAILED: ${e.message}`);
  for (const c of new Set(witness.complaints)) console.error(`  also: ${c}`);
  for (const context of browser.contexts()) {
    for (const [n, page] of context.pages().entries()) await page.screenshot({ path: `${outDir}/failed-${browser.contexts().indexOf(context)}-${n}.png` }).catch(() => {});
  }
  process.exitCode = 1;
} finally {
  await browser.close();
}
