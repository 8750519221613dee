// Works on flags as an engineer would: a new flag with targeting, a preview, a review, a kill switch, the way back, a key, a ramp plan.
// Usage: node flags.mjs URL ADA_PASSWORD VIEWER_PASSWORD OUTDIR. Prints a line per step. Exit code 0 only when everything was as it should be.
import { mkdirSync } from "node:fs";
import { Witness, check, launch } from "./browser.mjs";

const [url, adaPassword, viewerPassword, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error("usage: node flags.mjs URL ADA_PASSWORD VIEWER_PASSWORD OUTDIR");
  process.exit(2);
}
mkdirSync(outDir, { recursive: true });
const say = (text) => console.log(text);
const witness = new Witness(outDir);
const signIn = async (page, name, password) => {
  await page.goto(url);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#score-title").waitFor();
};
const browser = await launch();
try {
  const page = await witness.person(browser, "ada");
  await signIn(page, "ada", adaPassword);
  await page.locator("#score-title").waitFor();
  await page.getByRole("navigation").getByRole("link", { name: "Flags" }).first().click();
  await page.locator("#flags").waitFor();
  await witness.look(page, "flags-list");
  const tab = (name) => page.getByRole("navigation", { name: "Within flags" }).getByRole("link", { name, exact: true }).click();

  await page.locator('[data-flag="order-ingestion-stage"] a').first().click();
  await page.locator("#definition").waitFor();
  check((await page.locator("#flag-form").count()) === 0, "a managed flag offers a form");
  await witness.look(page, "flags-managed");
  say("a managed flag is shown and not edited");

  await tab("Flags");
  await page.locator("#new-flag").click();
  await page.locator("#key").fill("upsell-banner");
  await page.locator("#targeting").fill("{oops");
  witness.expect(400, /flags\/edit/);
  await page.locator("#review").click();
  await page.getByText("targeting: is not valid JSON").waitFor();
  check((await page.locator("#key").inputValue()) === "upsell-banner", "what was typed is lost");
  say("a mistake is named, and what was typed stays");
  await page.locator("#targeting").fill('{"if":[{"ends_with":[{"var":"email"},"@example.com"]},"on"]}');
  await page.locator("#context").fill('{"email":"a@example.com"}');
  await page.locator("#preview").click();
  await page.locator("#preview-result").waitFor();
  check((await page.locator("#preview-result").innerText()).includes("TARGETING_MATCH"), "the preview does not match");
  await witness.look(page, "flags-editor");
  await page.locator("#review").click();
  await page.locator('[data-change="added"]').waitFor();
  await page.locator("#reason").fill("for the campaign");
  await witness.look(page, "flags-review");
  await page.locator("#save").click();
  await page.locator('[data-flag="upsell-banner"]').waitFor();
  say("a flag was previewed, reviewed and saved");

  await page.locator("#new-flag").click();
  await page.locator("#key").fill("intake");
  await page.locator("#type").selectOption("kill-switch");
  await page.locator("#default").fill("on");
  await page.locator("#review").click();
  await page.locator("#reason").fill("prepared for the event");
  await page.locator("#save").click();
  const row = page.locator('[data-flag="intake"]');
  await row.locator("summary").click();
  await row.getByLabel("Reason").fill("the provider is down");
  await row.locator("#kill-intake").click();
  await row.getByText("Killed").waitFor();
  say("a kill switch was thrown");

  await tab("History");
  await witness.look(page, "flags-history");
  await page.locator("#rollback-1").click();
  await page.locator('[data-change="removed"]').first().waitFor();
  await page.locator("#reason").fill("the campaign is over");
  await page.locator("#save").click();
  await page.locator("#flags").waitFor();
  check((await page.locator('[data-flag="intake"]').count()) === 0, "the rollback left a flag");
  check((await page.locator('[data-flag="order-ingestion-stage"]').count()) === 1, "the rollback took a managed flag");
  say("the set is back at revision 1, managed flags apart");

  await tab("Schedules");
  const soon = new Date(Date.now() + 3_600_000).toISOString().slice(0, 16);
  await page.locator("#ramp-at-0").fill(soon);
  await page.locator("#ramp-share-0").fill("25");
  await page.locator("#plan-ramp").click();
  await page.getByText("Cutover to live at 25 %").first().waitFor();
  await witness.look(page, "flags-schedules");
  await page.locator('[id^="cancel-"]').click();
  await page.getByText("Cancelled").first().waitFor();
  say("a ramp plan was made and cancelled");

  await tab("Flags");
  await page.locator("#new-flag").click();
  await page.locator("#key").fill("night-mode");
  await page.locator("#review").click();
  await page.locator("#back").click();
  check((await page.locator("#key").inputValue()) === "night-mode", "on the way back a new flag is new no more");
  await page.locator("#review").click();
  await page.locator("#reason").fill("for the night");
  await page.locator("#at").fill(soon);
  await page.locator("#schedule").click();
  const planned = page.locator("[data-schedule]").filter({ has: page.locator('[id^="cancel-"]') });
  await planned.waitFor();
  await planned.getByRole("button", { name: "Cancel" }).click();
  await planned.waitFor({ state: "detached" });
  say("a change was reviewed, scheduled and cancelled");

  await tab("Keys");
  await page.locator("#key-name").fill("checkout");
  await page.locator("#create-key").click();
  const token = (await page.locator("#token").innerText()).trim();
  check(token.startsWith("swy_"), "no token is shown");
  await witness.look(page, "flags-keys");
  await tab("Keys");
  check(!(await page.content()).includes(token), "the token is shown again");
  say("a key's token is shown once");

  await tab("Workers");
  await page.locator("#fleet-says").waitFor();
  await witness.look(page, "flags-workers");

  const plain = await witness.person(browser, "ada without scripts", { javaScriptEnabled: false });
  await signIn(plain, "ada", adaPassword);
  await plain.goto(new URL("/m/order-pipeline/flags/edit", url).href);
  await plain.locator("#key").fill("plain");
  await plain.locator("#review").click();
  await plain.locator("#reason").fill("no script needed");
  await plain.locator("#save").click();
  await plain.locator('[data-flag="plain"]').waitFor();
  say("a flag was made without JavaScript");

  const viewer = await witness.person(browser, "grace");
  await signIn(viewer, "grace", viewerPassword);
  await viewer.goto(new URL("/m/order-pipeline/flags/edit?key=plain", url).href);
  await viewer.locator("#definition").waitFor();
  check((await viewer.locator("#main form").count()) === 0, "a viewer is offered a form");
  await witness.look(viewer, "flags-viewer");
  say("a viewer sees a flag and cannot change it");
  witness.content();
  say(`${witness.scans} accessibility scans, ${witness.pictures} pictures`);
} finally {
  await browser.close();
}
