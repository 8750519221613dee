// Looks at pages while what they depend on fails. At each moment a page says the truth, offers the next action, keeps its frame, and comes back by itself.
// Usage: node trouble.mjs URL CONTROL_URL ADA_PASSWORD OUTDIR. Prints a line per moment. Exit code 0 only when everything was as it should be.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Witness, check, launch } from "./browser.mjs";

const [url, control, password, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error("usage: node trouble.mjs URL CONTROL_URL ADA_PASSWORD OUTDIR");
  process.exit(2);
}
mkdirSync(outDir, { recursive: true });
const began = Date.now();
const say = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${text}`);
const witness = new Witness(outDir);
// What fails here is meant to; the browser says so in its console.
for (const status of [401, 404, 502, 503]) witness.expect(status, /./);

/** make makes something fail, or whole again. */
const make = async (what) => {
  const answer = await fetch(new URL(what, control), { method: "POST" });
  check(answer.ok, `${what}: ${answer.status}`);
};
const at = (path) => new URL(path, url).href;
const state = (page, wanted) => page.waitForFunction((w) => document.documentElement.dataset.live === w, wanted);
/** framed checks that the page stands in its frame, and shows nothing that only a program understands. */
const framed = async (page, what) => {
  check((await page.getByRole("navigation").getByRole("link", { name: "Order ledger" }).count()) > 0, `${what}: no navigation`);
  check((await page.locator(".wide .who strong").innerText()) === "ada", `${what}: who is signed in is not shown`);
  const name = await page.locator(".bar-name").innerText();
  check(/order pipeline/i.test(name) || name === "order-pipeline", `${what}: the migration is called ${JSON.stringify(name)}`);
  const text = await page.locator("body").innerText();
  for (const raw of ["dial tcp", "i/o timeout", "context deadline", "connect: connection refused", "SQLSTATE", "Bad Gateway", "EOF", "Internal Server Error"]) {
    check(!text.includes(raw), `${what}: shows ${JSON.stringify(raw)}`);
  }
};
const picture = async (page, name) => {
  await witness.look(page, name);
};
const signIn = async (page) => {
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
};
const m = "/m/order-pipeline";

const browser = await launch();
try {
  const page = await witness.person(browser, "ada");
  await page.goto(at("/"));
  await signIn(page);
  await page.locator("#score-title").waitFor();
  await state(page, "live");

  // --- The source does not answer, nor does the managed Redis --------------------------------------------------------------
  await make("/source/freeze");
  await page.goto(at(m + "/queues"));
  await page.locator("[data-error]").first().waitFor();
  await framed(page, "queues, source frozen");
  await make("/source/thaw");
  await page.waitForFunction(() => document.querySelector("#side-source [data-error]") === null);
  say("a source that is frozen is named, and the page comes back by itself");

  await make("/target/freeze");
  await page.goto(at(m + "/setup"));
  await page.getByRole("button", { name: /test everything/i }).click();
  const target = page.locator('[data-setting="target.url"], #part-target').filter({ hasText: /no answer in time|unreachable|cannot/i });
  await target.first().waitFor();
  await framed(page, "set-up, managed Redis frozen");
  await make("/target/thaw");
  say("a managed Redis that is frozen is named");

  // --- A run that waits for a decision, for the moments that follow --------------------------------------------------------
  await page.goto(at(m + "/steps/audit"));
  await page.locator("#start").click();
  await page.locator('#action-inspect[data-state="done"]').waitFor();
  await page.goto(at(m + "/steps/fix-policy"));
  await page.locator("#start:not([disabled])").click();
  await page.locator("#approve").waitFor();
  const run = new URL(page.url()).pathname;
  await state(page, "live");

  // --- The proxy answers 502 -----------------------------------------------------------------------------------------------
  const typed = "checked with the payments team";
  await page.locator("#comment").fill(typed);
  await make("/proxy/502");
  await page.waitForFunction(() => document.getElementById("live-age").textContent.includes("Last updated"));
  await state(page, "retry");
  await page.waitForFunction(() => document.documentElement.dataset.live === "retry");
  check((await page.locator("#live-state").innerText()) === "Reconnecting", "the bar does not say that it reconnects");
  await page.waitForResponse((r) => r.status() === 502 && new URL(r.url()).pathname === run);
  await page.locator("#approve").click();
  await page.locator(".not-sent").waitFor();
  check(new URL(page.url()).pathname === run, "a form was sent to a proxy that answers 502");
  await framed(page, "run, proxy answers 502");
  await state(page, "stale");
  await page.locator(".held-why").first().waitFor();
  check(await page.locator("#approve").isDisabled(), "a decision is offered on a page that is out of date");
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost");
  await framed(page, "run, out of date");
  await picture(page, "stale");
  await make("/proxy/pass");
  await state(page, "live");
  await page.locator("#approve:not([disabled])").waitFor();
  check((await page.locator(".held-why, .not-sent").count()) === 0, "the page is live and still says that it is not");
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost when the page is live again");
  say("a proxy that answers 502 replaces nothing, and the page comes back by itself");

  // --- The proxy answers nothing at all ------------------------------------------------------------------------------------
  await make("/proxy/hang");
  await state(page, "stale");
  await page.waitForEvent("requestfailed", (r) => new URL(r.url()).pathname === run);
  check(await page.locator("#approve").isDisabled(), "a decision is offered on a page that nothing answers for");
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost while nothing answers");
  await framed(page, "run, proxy hangs");
  await make("/proxy/pass");
  await state(page, "live");
  await page.locator("#approve:not([disabled])").waitFor();
  say("a proxy that hangs is given up on, and the page comes back by itself");

  // --- The server is killed and started again ------------------------------------------------------------------------------
  await make("/server/kill");
  await state(page, "retry");
  await framed(page, "run, server killed");
  await make("/server/start");
  await state(page, "live");
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost by a restart");
  await page.reload();
  await page.locator(".draft-kept").waitFor();
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost by a reload");
  await picture(page, "draft-kept");
  say("a server that is killed in a run takes nothing with it");

  // --- The session ends ----------------------------------------------------------------------------------------------------
  const token = (await page.context().cookies()).find((c) => c.name === "switchyard_session").value;
  const ended = await fetch(at("/api/v1/sessions/current"), { method: "DELETE", headers: { Authorization: `Bearer ${token}` } });
  check(ended.status === 204, `signing out elsewhere: ${ended.status}`);
  await state(page, "out");
  await page.locator(".signed-out").waitFor();
  check((await page.locator("#toasts > *").count()) === 0, "a message for each attempt");
  await framed(page, "run, signed out");
  await picture(page, "signed-out");
  await page.locator("#approve").click();
  await page.getByText("Your session ended. Nothing was submitted.").waitFor();
  await picture(page, "session-ended");
  await signIn(page);
  await page.locator("#approve").waitFor();
  check(new URL(page.url()).pathname === run, "signing in does not lead back to the form");
  check((await page.locator("#comment").inputValue()) === typed, "what was typed is lost when the session ends");
  say("a session that ends is said, and what was typed is still there");

  // --- The database hangs --------------------------------------------------------------------------------------------------
  const other = await page.context().newPage();
  await other.goto(at(m));
  await state(other, "live");
  await make("/database/hang");
  await page.goto(at(m + "/steps/fix-policy"));
  await page.locator('.failure[data-status="503"]').waitFor();
  await framed(page, "step, database hangs");
  const words = await page.locator(".failure").innerText();
  check(words.includes("Nothing was changed"), `the error does not say whether anything was changed: ${words}`);
  check((await page.locator(".failure a", { hasText: "Try again" }).getAttribute("href")) === m + "/steps/fix-policy", "no way to try again");
  await picture(page, "database-hangs");
  await other.waitForFunction(() => ["stale", "retry"].includes(document.documentElement.dataset.live));
  check((await other.locator("#score-title").count()) === 1, "the overview was replaced");
  await framed(other, "overview, database hangs");
  await make("/database/pass");
  await page.locator("#start, #start-why").first().waitFor();
  await state(other, "live");
  say("a database that hangs shows an error in the frame, and both pages come back by themselves");
  await other.close();

  // --- Loading again what a form answered ----------------------------------------------------------------------------------
  await page.goto(at(run + "/approve"));
  check(new URL(page.url()).pathname === run, `loading a form's address leads to ${page.url()}`);
  await page.goto(at(m + "/nowhere"));
  await framed(page, "no such page");
  await picture(page, "not-found");
  await page.goto(at(run));
  await page.locator("#approve").click();
  await page.locator("#rollback").waitFor();
  await page.goto(at(run));
  check((await page.locator(".draft-kept").count()) === 0, "a comment that was submitted is offered again");
  say("loading again what a form answered leads to its page; the run is done");
  // htmx writes into the console that a stream could not be had again, which is what was meant to happen.
  witness.complaints = witness.complaints.filter((c) => !/htmx:sse:error: SSE reconnect failed with status (401|502|503)/.test(c));
  witness.content();
  say(`${witness.scans} accessibility scans, ${witness.pictures} pictures in ${join(outDir)}`);
} finally {
  await browser.close();
}
