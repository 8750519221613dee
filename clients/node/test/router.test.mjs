import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Attestor, bucket, Router } from "@switchyard/bullmq";
import { directory, freePort, until } from "./redis.mjs";
import { switchyard } from "./switchyard.mjs";

const rejections = [];
process.on("unhandledRejection", (err) => rejections.push(err));
test.after(() => assert.deepEqual(rejections, []));

function router(t, config) {
  const r = new Router({ queue: "order-ingestion", instance: "test-1", token: "worker-token", pollMs: 30, timeoutMs: 500, ...config });
  t.after(() => r.close());
  return r;
}

test("follows changes, revalidates with the ETag and persists what it holds", async (t) => {
  const file = join(directory(), "flags.json");
  const sy = await switchyard(t);
  const seen = [];
  const r = router(t, { url: sy.url, file, onChange: (s) => void seen.push(s.stage) });
  await r.start();
  assert.equal(r.snapshot.stage, "off");
  assert.equal(r.lastKnownGood, false);
  const revision = sy.set({ "order-ingestion-stage": "dualwrite" });
  await until("the change is applied", () => r.attestedRevision === revision);
  assert.deepEqual(seen, ["off", "dualwrite"]);
  assert.deepEqual(r.snapshot.flags["order-ingestion-stage"], { value: "dualwrite", revision });
  assert.equal(JSON.parse(readFileSync(file, "utf8")).stage, "dualwrite");
  await until("unchanged flags cost a 304", () => sy.notModified > 3);
});

test("keeps the held values while Switchyard is away, and recovers when it is back", async (t) => {
  const sy = await switchyard(t, { flags: { "order-ingestion-stage": "live", "order-ingestion-ramp": 25 } });
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json") });
  await r.start();
  await sy.stop();
  await until("the loss is noticed", () => r.lastKnownGood);
  assert.equal(r.snapshot.stage, "live");
  assert.equal(r.snapshot.ramp, 25);
  sy.set({ "order-ingestion-ramp": 50 });
  await sy.start();
  await until("the new value arrives", () => r.snapshot.ramp === 50 && !r.lastKnownGood);
});

test("serves the file at a cold start without Switchyard, and follows it once it appears", async (t) => {
  const file = join(directory(), "flags.json");
  const first = await switchyard(t, { flags: { "order-ingestion-stage": "rampdown", "source-endpoint": "sentinel" } });
  const warm = router(t, { url: first.url, file });
  await warm.start();
  await warm.close();
  await first.stop();

  const r = router(t, { url: first.url, file });
  await r.start();
  assert.equal(r.snapshot.stage, "rampdown");
  assert.equal(r.snapshot.sourceEndpoint, "sentinel");
  assert.equal(r.lastKnownGood, true);
  const revision = first.set({ "order-ingestion-stage": "complete" });
  await first.start();
  await until("it follows the server again", () => r.attestedRevision === revision && !r.lastKnownGood);
});

test("starts on the old server when nothing was ever known", async (t) => {
  const file = join(directory(), "flags.json");
  writeFileSync(file, '{"stage":"comp');
  const r = router(t, { url: `http://127.0.0.1:${await freePort()}`, file });
  await r.start();
  assert.deepEqual([r.snapshot.stage, r.snapshot.sourceEndpoint, r.attestedRevision, r.lastKnownGood], ["off", "standalone", 0, false]);
});

test("no answer that is not whole replaces the held values", async (t) => {
  const sy = await switchyard(t, { flags: { "order-ingestion-stage": "shadow" } });
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json") });
  await r.start();
  const json = (status, body) => (req, res) => res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  const stage = { key: "order-ingestion-stage", value: "complete", metadata: { revision: 9, flagSetRevision: 9 } };
  const answers = {
    "an empty set": json(200, { flags: [] }),
    "one flag missing": json(200, { flags: [stage, { key: "order-ingestion-ramp", value: 10 }] }),
    "an unknown stage": json(200, { flags: [{ ...stage, value: "sideways" }, { key: "order-ingestion-ramp", value: 1 }, { key: "source-endpoint", value: "none" }] }),
    "an evaluation error": json(200, { flags: [{ key: stage.key, errorCode: "GENERAL" }, { key: "order-ingestion-ramp", value: 1 }, { key: "source-endpoint", value: "none" }] }),
    "a refusal": (req, res) => res.writeHead(401).end(),
    "a server error": json(500, { errorDetails: "database" }),
    "not JSON": (req, res) => res.writeHead(200, { "Content-Type": "application/json" }).end("<html>"),
    "a body that never ends": (req, res) => res.writeHead(200, { "Content-Type": "application/json" }).write('{"flags":'),
  };
  for (const [name, answer] of Object.entries(answers)) {
    sy.answer = answer;
    await until(`${name} is noticed`, () => r.lastKnownGood);
    assert.equal(r.snapshot.stage, "shadow", name);
    sy.answer = undefined;
    sy.set({});
    await until(`it recovers from ${name}`, () => !r.lastKnownGood);
  }
});

test("the attested revision never passes a request in flight nor a change that is not applied", async (t) => {
  const sy = await switchyard(t);
  let release;
  let gate = Promise.resolve();
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json"), onChange: () => gate });
  await r.start();
  const first = r.attestedRevision;
  const lease = r.begin();
  gate = new Promise((resolve) => (release = resolve));
  const revision = sy.set({ "order-ingestion-stage": "dualwrite" });
  await until("the new value is held", () => r.snapshot.revision === revision);
  assert.equal(lease.route("ord_1").stage, "off", "a request keeps the snapshot it began with");
  assert.equal(r.attestedRevision, first);
  release();
  await until("the request alone holds it back", () => r.snapshot.revision === revision);
  assert.equal(r.attestedRevision, first);
  lease.end();
  await until("nothing holds it back", () => r.attestedRevision === revision);
});

test("attests what is held, at once after a change", async (t) => {
  const sy = await switchyard(t);
  let attestor;
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json"), onProgress: () => attestor?.kick() });
  await r.start();
  attestor = new Attestor({ url: sy.url, token: sy.token, service: "ingestion", instance: "test-1", version: "1.0.0", bullmq: "6.7.0", router: r, connections: () => [], intervalMs: 60_000 });
  attestor.start();
  t.after(() => attestor.close());
  const revision = sy.set({ "order-ingestion-stage": "dualwrite" });
  const report = await until("the change is attested", () => sy.attestations.find((a) => a.revision === revision));
  assert.deepEqual(report.flags["order-ingestion-stage"], { value: "dualwrite", revision });
  assert.equal(report.lastKnownGood, false);
});

test("an older revision never replaces a newer one, also across a restart, unless it is of another set", async (t) => {
  const file = join(directory(), "flags.json");
  const sy = await switchyard(t, { set: "first" });
  const logged = [];
  const log = (event) => logged.push(event);
  const r = router(t, { url: sy.url, file, log });
  await r.start();
  const revision = sy.set({ "order-ingestion-stage": "dualwrite" }) && sy.set({});
  await until("the newest is held", () => r.snapshot.revision === revision);
  sy.set({ "order-ingestion-stage": "off" });
  sy.revision = revision - 1;
  await until("the older one is noticed", () => logged.includes("flags-older-ignored"));
  const asked = sy.requests;
  await until("it is offered again", () => sy.requests > asked + 3);
  assert.deepEqual([r.snapshot.stage, r.snapshot.revision, r.lastKnownGood], ["dualwrite", revision, true]);
  assert.equal(logged.filter((e) => e === "flags-older-ignored").length, 1);
  await r.close();

  const again = router(t, { url: sy.url, file });
  await again.start();
  assert.deepEqual([again.snapshot.stage, again.snapshot.revision], ["dualwrite", revision]);
  sy.flagSet = "second";
  sy.set({});
  sy.revision = 1;
  await until("another set is followed", () => again.snapshot.set === "second");
  assert.equal(again.snapshot.revision, 1);
});

test("routes an order by the held values, and says who asks", async (t) => {
  const sy = await switchyard(t, { flags: { "order-ingestion-stage": "live", "order-ingestion-ramp": 30 } });
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json"), service: "ingestion", version: "1.2.3" });
  await r.start();
  for (let i = 0; i < 1000; i++) {
    const key = `order-${i}`;
    assert.equal(r.route(key).authority, bucket("order-ingestion-stage", key) < 30 ? "target" : "source");
  }
  assert.equal(sy.headers["x-worker-service"], "ingestion");
  assert.equal(sy.headers["x-worker-instance"], "test-1");
  assert.equal(sy.headers["x-worker-version"], "1.2.3");
});

test("says that it leaves when it is closed", async (t) => {
  const sy = await switchyard(t);
  const r = router(t, { url: sy.url, file: join(directory(), "flags.json") });
  await r.start();
  const attestor = new Attestor({ url: sy.url, token: sy.token, service: "ingestion", instance: "test-1", version: "1.0.0", bullmq: "6.7.0", router: r, connections: () => [] });
  attestor.start();
  await until("it attests", () => sy.latest);
  assert.equal(sy.latest.leaving, undefined);
  await attestor.close();
  assert.equal(sy.latest.leaving, true);
});
