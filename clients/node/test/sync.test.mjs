import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { FlagdCore } from "@openfeature/flagd-core";
import { OpenFeature } from "@openfeature/server-sdk";
import { bucket, INITIAL, routeOrder, Router } from "@switchyard/bullmq";
import { directory, freePort, until } from "./redis.mjs";
import { definition, syncServer } from "./sync.mjs";

const QUEUE = "order-ingestion";
const rejections = [];
process.on("unhandledRejection", (err) => rejections.push(err));
test.after(() => assert.deepEqual(rejections, []));

const doc = (options) => definition(QUEUE, options);

function router(t, config) {
  const r = new Router({ queue: QUEUE, instance: "test-1", token: "worker-token", pollMs: 50, timeoutMs: 1000, ...config });
  t.after(() => r.close());
  return r;
}

const stored = (file) => (existsSync(`${file}.definition`) ? JSON.parse(readFileSync(`${file}.definition`, "utf8")) : undefined);

test("a pushed change is followed, attested and kept as a definition, for which nothing is sent twice", async (t) => {
  const file = join(directory(), "flags.json");
  const sy = await syncServer(t, doc());
  const seen = [];
  const r = router(t, { url: sy.url, sync: sy.sync, file, service: "ingestion", onChange: (s) => void seen.push(s.stage) });
  await r.start();
  assert.deepEqual([r.snapshot.stage, r.snapshot.set, r.attestedRevision, r.lastKnownGood], ["off", "main", 1, false]);
  sy.push(doc({ stage: "dualwrite", source: "sentinel", revision: 2 }));
  await until("the change is applied", () => r.attestedRevision === 2);
  assert.deepEqual(seen, ["off", "dualwrite"]);
  assert.deepEqual(r.snapshot.flags[`${QUEUE}-stage`], { value: "dualwrite", revision: 2 });
  assert.equal(r.snapshot.sourceEndpoint, "sentinel");
  await until("the definition is stored", () => stored(file)?.metadata.flagSetRevision === 2);
  assert.equal(JSON.parse(readFileSync(file, "utf8")).stage, "dualwrite");
  assert.equal(sy.headers["x-worker-instance"], "test-1");
  assert.equal(sy.headers["x-worker-service"], "ingestion");
  sy.interrupt();
  await until("a reconnection with nothing new costs a 304", () => sy.notModified > 0);
});

test("a lost stream leaves the held values in force, and is reported until flags arrive again", async (t) => {
  const sy = await syncServer(t, doc({ stage: "live", ramp: 25 }));
  const r = router(t, { url: sy.url, sync: sy.sync, file: join(directory(), "flags.json") });
  await r.start();
  sy.interrupt();
  await until("the loss is noticed", () => r.lastKnownGood);
  assert.deepEqual([r.snapshot.stage, r.snapshot.ramp], ["live", 25]);
  await until("the stream is back", () => !r.lastKnownGood);
  await sy.stop();
  await until("the loss of the server is noticed", () => r.lastKnownGood);
  sy.document = doc({ stage: "live", ramp: 50, revision: 2 });
  await sy.start();
  await until("the new value arrives", () => r.snapshot.ramp === 50 && !r.lastKnownGood);
  sy.push(doc({ stage: "live", ramp: 75, revision: 3 }));
  await until("changes are followed after a reconnection", () => r.attestedRevision === 3);
});

test("a cold start without Switchyard serves the file, then follows every change", async (t) => {
  const file = join(directory(), "flags.json");
  const sy = await syncServer(t, doc({ stage: "rampdown", source: "sentinel", revision: 4 }));
  const warm = router(t, { url: sy.url, sync: sy.sync, file });
  await warm.start();
  await until("the definition is stored", () => stored(file)?.metadata.flagSetRevision === 4);
  await warm.close();
  await sy.stop();

  const held = router(t, { url: sy.url, sync: sy.sync, file });
  await held.start();
  assert.deepEqual([held.snapshot.stage, held.attestedRevision, held.lastKnownGood], ["rampdown", 4, true]);
  await held.close();

  rmSync(file);
  const r = router(t, { url: sy.url, sync: sy.sync, file });
  await r.start();
  assert.deepEqual([r.snapshot.stage, r.snapshot.sourceEndpoint, r.snapshot.revision, r.lastKnownGood], ["rampdown", "sentinel", 4, true], "the definition alone is enough");
  sy.document = doc({ stage: "complete", revision: 5 });
  await sy.start();
  await until("it follows the server again", () => r.attestedRevision === 5 && !r.lastKnownGood);
  sy.push(doc({ stage: "complete", source: "none", revision: 6 }));
  await until("it hears of the next change too", () => r.attestedRevision === 6);
  assert.equal(r.snapshot.sourceEndpoint, "none");
});

test("starts on the old server when nothing was ever known, whatever is wrong", async (t) => {
  const broken = join(directory(), "flags.json");
  writeFileSync(`${broken}.definition`, '{"flags":{');
  const mute = await syncServer(t, doc({ stage: "live" }));
  mute.mute = true;
  const stranger = await syncServer(t, doc({ stage: "live" }), { token: "another-token" });
  const nobody = { url: `http://127.0.0.1:${await freePort()}`, sync: { host: "127.0.0.1", port: await freePort() }, file: broken };
  const beside = { file: join(directory(), "flags.json") };
  for (const config of [nobody, { ...beside, url: mute.url, sync: mute.sync }, { ...beside, url: stranger.url, sync: stranger.sync }]) {
    const r = router(t, config);
    await r.start();
    assert.deepEqual([r.snapshot.stage, r.snapshot.sourceEndpoint, r.attestedRevision, r.lastKnownGood], ["off", "standalone", 0, false]);
    await r.close();
  }
});

test("an older revision replaces neither what is held nor the definition, also across a restart, unless it is of another set", async (t) => {
  const file = join(directory(), "flags.json");
  const sy = await syncServer(t, doc({ stage: "shadow", revision: 7 }));
  const logged = [];
  const r = router(t, { url: sy.url, sync: sy.sync, file, log: (event) => logged.push(event) });
  await r.start();
  await until("the definition is stored", () => stored(file)?.metadata.flagSetRevision === 7);
  sy.push(doc({ stage: "off", revision: 6 }));
  await until("the older one is noticed", () => logged.includes("flags-older-ignored"));
  assert.deepEqual([r.snapshot.stage, r.snapshot.revision, r.lastKnownGood], ["shadow", 7, true]);
  await r.close();
  assert.equal(stored(file).metadata.flagSetRevision, 7);

  const again = router(t, { url: sy.url, sync: sy.sync, file });
  await again.start();
  assert.deepEqual([again.snapshot.stage, again.snapshot.revision, again.lastKnownGood], ["shadow", 7, true]);
  sy.push(doc({ stage: "dualwrite", revision: 1, set: "other" }));
  await until("another set is followed", () => again.snapshot.set === "other");
  await until("and kept", () => stored(file).metadata.flagSetId === "other");
});

test("no set that is not whole replaces the held values, nor is it mixed with the file", async (t) => {
  const file = join(directory(), "flags.json");
  const first = doc({ stage: "shadow", revision: 1 });
  writeFileSync(`${file}.definition`, JSON.stringify(first));
  const sy = await syncServer(t, first);
  const r = router(t, { url: sy.url, sync: sy.sync, file });
  await r.start();
  const without = (key, revision) => {
    const next = doc({ stage: "complete", revision });
    delete next.flags[key];
    return next;
  };
  const disabled = doc({ stage: "complete", revision: 6 });
  disabled.flags[`${QUEUE}-stage`].state = "DISABLED";
  const unknown = doc({ stage: "complete", revision: 7 });
  unknown.flags[`${QUEUE}-stage`].variants.complete = "sideways";
  const sets = {
    "an empty set": { flags: {}, metadata: { flagSetId: "main", flagSetRevision: 3 } },
    "a set without the ramp": without(`${QUEUE}-ramp`, 4),
    "a set without the stage": without(`${QUEUE}-stage`, 5),
    "a set whose stage is disabled": disabled,
    "an unknown stage": unknown,
  };
  for (const [name, set] of Object.entries(sets)) {
    sy.push(set);
    await until(`${name} is noticed`, () => r.lastKnownGood);
    assert.deepEqual([r.snapshot.stage, r.snapshot.revision], ["shadow", 1], name);
    sy.push(first);
    await until(`it recovers from ${name}`, () => !r.lastKnownGood);
  }
  assert.equal(stored(file).metadata.flagSetRevision, 1);
});

test("hooks of the app never see the token", async (t) => {
  const sy = await syncServer(t, doc());
  const seen = [];
  OpenFeature.addHooks({ finally: (context, details) => void seen.push(JSON.stringify([context, details])) });
  t.after(() => OpenFeature.clearHooks());
  const r = router(t, { url: sy.url, sync: sy.sync, file: join(directory(), "flags.json") });
  await r.start();
  assert.ok(seen.some((s) => s.includes(`${QUEUE}-stage`)));
  assert.ok(!seen.some((s) => s.includes(sy.token)));
});

test("a request in flight holds the attested revision back", async (t) => {
  const sy = await syncServer(t, doc());
  const r = router(t, { url: sy.url, sync: sy.sync, file: join(directory(), "flags.json") });
  await r.start();
  const lease = r.begin();
  sy.push(doc({ stage: "dualwrite", revision: 2 }));
  await until("the new value is held", () => r.snapshot.revision === 2);
  assert.deepEqual([lease.route("ord_1").stage, r.attestedRevision], ["off", 1]);
  lease.end();
  await until("nothing holds it back", () => r.attestedRevision === 2);
});

test("a process ends by itself after close, whether the server is there or gone", async (t) => {
  const sy = await syncServer(t, doc());
  const run = (sync, then) => {
    const config = { url: sy.url, sync, file: join(directory(), "flags.json"), queue: QUEUE, instance: "child", token: sy.token, pollMs: 50, timeoutMs: 500 };
    const program = `import { Router } from "@switchyard/bullmq";
      const r = new Router(${JSON.stringify(config)});
      ${then}
      const before = process.cpuUsage().user;
      process.on("exit", () => console.log(r.snapshot.revision, process.cpuUsage().user - before < 2e6));`;
    return promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { cwd: import.meta.dirname, timeout: 30_000 });
  };
  const gone = { host: "127.0.0.1", port: await freePort() };
  assert.equal((await run(sy.sync, "await r.start(); await r.close();")).stdout, "1 true\n");
  assert.equal((await run(gone, "await r.start(); await r.close();")).stdout, "0 true\n");
  assert.equal((await run(gone, "const starting = r.start(); setImmediate(() => r.close()); await starting;")).stdout, "0 true\n");
  await until("the server has no stream left", () => sy.streams.size === 0);
});

// ASCII keys only: of others flagd-core's JavaScript hashes UTF-16 code units, where flagd and we hash UTF-8.
test("an order's authority is the one that flagd itself evaluates, at every ramp", () => {
  for (const ramp of [0, 1, 30, 50, 99, 100]) {
    const core = new FlagdCore();
    core.setConfigurations(JSON.stringify(doc({ stage: "live", ramp })));
    let targets = 0;
    for (let i = 0; i < 2000; i++) {
      const key = i % 2 ? `ord_${i}` : `gid://shop/Order/${i * 7919}?~ !`;
      const { value } = core.resolveStringEvaluation(`${QUEUE}-authority`, "", { targetingKey: key });
      assert.equal(routeOrder(QUEUE, { ...INITIAL, stage: "live", ramp }, key).authority, value, `${key} at ${ramp}`);
      assert.equal(bucket(`${QUEUE}-stage`, key) < ramp ? "target" : "source", value);
      if (value === "target") targets++;
    }
    assert.ok(Math.abs(targets / 20 - ramp) < 5, `${targets} of 2000 at ${ramp}`);
  }
});
