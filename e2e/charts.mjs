// Looks at charts: as pictures without a script, and as they go on by themselves with it.
// Usage: node charts.mjs URL ADA_PASSWORD OUTDIR. Prints a line per rule. Exit code 0 only when everything was as it should be.
import { mkdirSync } from "node:fs";
import { Witness, check, launch } from "./browser.mjs";

const [url, adaPassword, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error("usage: node charts.mjs URL ADA_PASSWORD OUTDIR");
  process.exit(2);
}
mkdirSync(outDir, { recursive: true });
const say = (text) => console.log(text);
const witness = new Witness(outDir);
const signIn = async (page) => {
  await page.goto(url);
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill(adaPassword);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#score-title").waitFor();
};

/** weigh counts the bytes that come over the wire for a page at an empty cache, and for one update of it. */
async function weigh(page) {
  const context = await browser.newContext({ storageState: await page.context().storageState() });
  const fresh = await context.newPage();
  const wire = await context.newCDPSession(fresh);
  let bytes = 0;
  wire.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  await wire.send("Network.enable");
  await fresh.goto(page.url(), { waitUntil: "load" });
  await fresh.locator("#chart-orders .plot > svg").waitFor();
  await fresh.evaluate(() => document.fonts.ready);
  const cold = bytes;
  const [update] = await Promise.all([
    fresh.waitForResponse(page.url()),
    fresh.evaluate(() => {
      delete document.getElementById("main").dataset.tag; // else what has not changed is not sent
      document.getElementById("stream").dispatchEvent(new Event("update"));
    }),
  ]);
  await update.finished();
  const { responseBodySize, responseHeadersSize } = await update.request().sizes();
  const warm = responseBodySize + responseHeadersSize;
  await context.close();
  return { cold, warm };
}

const browser = await launch();
try {
  const page = await witness.person(browser, "ada");
  await signIn(page);
  await page.locator("#chart-orders .plot > svg").waitFor();
  check((await page.locator(".plot.drawn").count()) === 0, "the overview draws charts before anybody points at one");
  await page.locator("#chart-orders").hover();
  await page.locator("#chart-orders .plot.drawn canvas").waitFor();
  const at = page.url();
  const { cold, warm } = await weigh(page);
  check(cold > 0 && cold <= 110_000, `the overview weighs ${cold} bytes at an empty cache, 110000 at most`);
  check(warm > 1000 && warm <= 12_000, `an update of the overview weighs ${warm} bytes, 12000 at most`);
  say(`the overview weighs ${cold} bytes at an empty cache, an update of it ${warm}`);
  await page.goto(at + "/queues");
  const charts = await page.locator("[data-chart]").count();
  await page.locator("#chart-response .plot.drawn canvas").waitFor();
  check(charts === 6, `${charts} charts, want 6`);
  check((await page.locator(".plot.drawn canvas").count()) === charts, "not every chart is drawn");
  check((await page.locator(".plot.drawn > svg:visible").count()) === 0, "the picture is still there beside the chart");
  check((await page.locator('canvas[role="img"][aria-label*="Redis response time"]').count()) === 1, "the canvas says nothing");
  say("each chart is drawn by the script");

  const value = page.locator('#chart-depth [data-value="depth_source"]');
  await page.waitForFunction(() => document.querySelector('#chart-depth [data-value="depth_source"]').textContent === "0", null, { timeout: 60_000 });
  check((await page.locator('#chart-depth [data-value="depth_target"]').innerText()) === "no data", "a target that there is not has a value");
  check((await page.locator(".plot.drawn canvas").count()) === charts, "an update of the page took a chart away");
  say("the first measurement appears by itself, and what there is not has none");

  const box = await page.locator("#chart-depth .u-over").boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + box.height / 2);
  await page.locator("#chart-response.pointed").waitFor();
  check((await value.innerText()) === "not measured", "a time before the first measurement has a value");
  check(/^\d\d:\d\d:\d\d UTC$/.test(await page.locator("[data-when]").innerText()), "the cursor's time is not shown");
  await page.mouse.move(box.x + box.width / 2, box.y - 60);
  await page.locator("#chart-response:not(.pointed)").waitFor();
  say("one cursor for all charts");

  const stroke = () => page.locator("#chart-depth canvas").evaluate((c) => c.toDataURL());
  const light = await stroke();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction((was) => document.querySelector("#chart-depth canvas").toDataURL() !== was, light);
  await page.emulateMedia({ colorScheme: "light" });
  say("another theme, other colours");

  await page.setViewportSize({ width: 700, height: 900 });
  await page.waitForFunction(() => document.querySelector("#chart-depth .uplot").offsetWidth <= document.querySelector("#plot-depth").clientWidth);
  await page.getByRole("link", { name: "24 hours" }).click();
  await page.locator('.ranges a[aria-current="true"][aria-label="24 hours"]').waitFor();
  check(page.url().includes("range=24h"), "the range is not in the address");
  await page.locator("#chart-response .plot.drawn canvas").waitFor();
  await page.locator("#chart-depth summary").click();
  await page.locator("#chart-depth table").waitFor();
  await witness.look(page, "charts");
  say("ranges have addresses, and each chart has a table");

  const plain = await witness.person(browser, "without script", { javaScriptEnabled: false });
  await signIn(plain);
  await plain.goto(at + "/queues");
  check((await plain.locator(".plot > svg:visible").count()) === charts, "without a script there are no pictures");
  check((await plain.locator('#chart-depth svg path[class="line-source"]').getAttribute("d")) !== "", "the picture is empty");
  await plain.locator("#chart-depth summary").click();
  check(/Source/.test(await plain.locator("#chart-depth table").innerText()), "without a script there is no table");
  say("without a script there are pictures and tables");
  witness.content();
} finally {
  await browser.close();
}
