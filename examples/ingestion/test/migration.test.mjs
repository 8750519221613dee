import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { bucket } from "@switchyard/bullmq";
import { app, directory, freePort, order, redis, sentinelEnv, sentinels, switchyard, until } from "./app.mjs";

const stage = (value, ramp = 0) => ({ "order-ingestion-stage": value, "order-ingestion-ramp": ramp });
const executed = (e) => e.type === "executed";

async function estate(t, flags) {
  const [source, target, sy] = [await redis(t), await redis(t), await switchyard(t, { flags })];
  const a = await app(t, sy, { SOURCE_REDIS_URL: source.url, TARGET_REDIS_URL: target.url });
  const move = async (next) => {
    const revision = sy.set(next);
    await until(`revision ${revision} is attested`, () => sy.latest.revision === revision);
  };
  return { source, target, sy, a, move };
}

// Each test has servers of its own; most of its time is waiting for them.
describe("migration", { concurrency: 4 }, () => {
  test("dualwrite puts a copy on the target that waits; shadow runs it and the results agree", async (t) => {
    const { source, target, a, move } = await estate(t, stage("dualwrite"));
    await a.deliver(order(1));
    await until("the source runs it", async () => (await a.journal(executed)).length === 1);
    assert.equal(await target.client.llen("bull:order-ingestion-shadow:wait"), 1);
    assert.equal(await target.client.exists("bull:order-ingestion:stripe_evt_1"), 0);
    assert.equal((await a.journal((e) => e.type === "enqueued" && e.shadow))[0].ok, true);

    await move(stage("shadow"));
    const runs = await until("the copy runs", async () => {
      const list = await a.journal(executed);
      return list.length === 2 && list;
    });
    assert.deepEqual(runs.map((e) => [e.side, e.mode, e.outcome]), [["source", "authoritative", "applied"], ["target", "shadow", "compared"]]);
    assert.equal(runs[0].result, runs[1].result);

    await move(stage("dualwrite"));
    await a.deliver(order(2));
    await until("only the source runs it", async () => (await a.journal((e) => executed(e) && e.order === "ord_2")).length === 1);
    assert.equal(await target.client.llen("bull:order-ingestion-shadow:wait"), 1);
    assert.equal(await source.client.exists("bull:order-ingestion-shadow:id"), 0);
  });

  test("a shadow copy that cannot be enqueued is recorded and fails nobody", async (t) => {
    const { target, a } = await estate(t, stage("shadow"));
    await target.stop();
    assert.equal((await a.deliver(order(1))).status, 200);
    const [copy] = await until("it is recorded", async () => {
      const list = await a.journal((e) => e.type === "enqueued" && e.shadow);
      return list.length === 1 && list;
    });
    assert.equal(copy.ok, false);
    assert.ok(copy.error);
  });

  test("live gives each order to the side of its bucket, and both sides agree on every result", async (t) => {
    const { a, move } = await estate(t, stage("shadow"));
    await move(stage("live", 40));
    const keys = Array.from({ length: 40 }, (_, i) => i);
    await Promise.all(keys.map((i) => a.deliver(order(i))));
    const runs = await until("both sides ran all", async () => {
      const list = await a.journal(executed);
      return list.length === 80 && list;
    });
    for (const i of keys) {
      const [authoritative, shadow] = ["authoritative", "shadow"].map((mode) => runs.find((e) => e.order === `ord_${i}` && e.mode === mode));
      assert.equal(authoritative.side, bucket("order-ingestion-stage", `ord_${i}`) < 40 ? "target" : "source");
      assert.equal(authoritative.outcome, "applied");
      assert.notEqual(shadow.side, authoritative.side);
      assert.equal(shadow.result, authoritative.result);
    }
    await move(stage("rampdown"));
    await a.deliver(order("r"));
    await until("the target runs it", async () => (await a.journal((e) => executed(e) && e.order === "ord_r")).length === 1);
    assert.deepEqual((await a.journal((e) => executed(e) && e.order === "ord_r")).map((e) => [e.side, e.mode]), [["target", "authoritative"]]);
    await move(stage("complete"));
    await a.deliver(order("c"));
    await until("the target runs it", async () => (await a.journal((e) => executed(e) && e.order === "ord_c")).length === 1);
    assert.equal((await a.journal((e) => e.type === "enqueued" && e.order === "ord_c")).length, 1);
  });

  test("workers obey the stamp: a job on the wrong side is not applied unless it was moved there", async (t) => {
    const { target, a } = await estate(t, stage("off"));
    const put = async (n, stamp) => {
      const id = `stripe_evt_${n}`;
      const data = { id: `ord_${n}`, event: `evt_${n}`, provider: "stripe", amount: 1, currency: "eur", customer: "c", items: [], _switchyard: stamp };
      await target.client.hset(`bull:order-ingestion:${id}`, { name: "order-ingestion", data: JSON.stringify(data), opts: "{}", timestamp: Date.now(), delay: 0, priority: 0 });
      await target.client.lpush("bull:order-ingestion:wait", id);
      await target.client.zadd("bull:order-ingestion:marker", 0, "0");
    };
    await put(1, { authority: "source", stage: "off", revision: 1 });
    await put(2, { authority: "source", stage: "off", revision: 1, movedTo: "target" });
    await put(3, { authority: "target", stage: "live", revision: 1 });
    const runs = await until("all ran", async () => {
      const list = await a.journal(executed);
      return list.length === 3 && list;
    });
    assert.deepEqual(Object.fromEntries(runs.map((e) => [e.order, e.outcome])), { ord_1: "misrouted", ord_2: "applied", ord_3: "applied" });
  });

  test("the last known flags survive the loss of Switchyard and a cold start", async (t) => {
    const { target, sy, a } = await estate(t, stage("complete"));
    await until("it attests", () => sy.latest?.revision === 1);
    await sy.stop();
    assert.equal((await a.deliver(order(1))).status, 200);
    await until("it ran", async () => (await a.journal(executed)).length === 1);
    await a.kill();
    await a.start();
    assert.equal((await a.deliver(order(2))).status, 200);
    await until("both ran", async () => (await a.journal(executed)).length === 2);
    assert.deepEqual((await a.journal(executed)).map((e) => e.side), ["target", "target"]);
    assert.equal(await target.client.zcard("bull:order-ingestion:completed"), 2);
    sy.attestations.length = 0;
    await sy.start();
    await until("it is confirmed again", () => sy.latest?.lastKnownGood === false && sy.latest.revision === 1);
  });

  test("the source moves standalone -> sentinel -> none -> standalone under load without losing an accepted order", async (t) => {
    // As in the real move: the Sentinel master first replicates the old server, then becomes a master of its own.
    const old = await redis(t);
    const group = await sentinels(t);
    const target = await redis(t);
    const sy = await switchyard(t, { flags: stage("off") });
    const a = await app(t, sy, { SOURCE_REDIS_URL: old.url, TARGET_REDIS_URL: target.url, ...sentinelEnv(group) });
    const accepted = new Set();
    let sent = 0;
    let stop = false;
    let refused = 0;
    const load = (async () => {
      while (!stop) {
        const n = sent++;
        const { status } = await a.deliver(order(n));
        if (status === 200) accepted.add(`ord_${n}`);
        else refused++;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    const applied = async () => new Set((await a.journal((e) => executed(e) && e.outcome === "applied")).map((e) => e.order));
    const move = async (next) => {
      const revision = sy.set(next);
      await until(`revision ${revision} is attested`, () => sy.latest.revision === revision);
      const mark = accepted.size;
      await until("orders are accepted", () => accepted.size > mark + 20);
    };
    await until("orders are accepted", () => accepted.size > 20);
    await move({ "source-endpoint": "sentinel" });
    assert.equal(refused, 0, "the switch itself refuses nobody");
    assert.ok(sy.latest.connections.filter((c) => c.side === "source").every((c) => c.endpoint === "sentinel"));
    assert.doesNotMatch(await old.client.client("LIST"), /name=(producer|worker|bull):/);

    await move(stage("complete"));
    await move({ "source-endpoint": "none" });
    assert.equal(refused, 0);
    assert.ok(sy.latest.connections.every((c) => c.side === "target"));
    for (const node of [old, ...group.nodes]) assert.doesNotMatch(await node.client.client("LIST"), /name=(producer|worker|bull):/);

    await move({ "source-endpoint": "standalone" });
    await move(stage("off"));
    assert.equal(refused, 0);
    stop = true;
    await load;
    await until("every accepted order was applied", async () => {
      const done = await applied();
      return [...accepted].every((id) => done.has(id));
    });
    const outcomes = await a.journal((e) => executed(e) && e.outcome !== "applied");
    assert.deepEqual(outcomes, []);
  });

  test("a failover of the Sentinel master loses no accepted order", async (t) => {
    const group = await sentinels(t);
    const sy = await switchyard(t, { flags: { ...stage("off"), "source-endpoint": "sentinel" } });
    const a = await app(t, sy, sentinelEnv(group));
    const accepted = [];
    const send = async (n) => (await a.deliver(order(n))).status === 200 && accepted.push(`ord_${n}`);
    for (let n = 0; n < 50; n++) await send(n);
    await group.nodes[0].stop();
    let n = 50;
    await until("orders are accepted again", () => send(n++), 20_000);
    await until(
      "every accepted order was applied",
      async () => {
        const done = new Set((await a.journal((e) => executed(e) && e.outcome === "applied")).map((e) => e.order));
        return accepted.every((id) => done.has(id));
      },
      30_000,
    );
  });

  test("a kill -9 of the app in the middle of work loses no accepted order and applies none twice", async (t) => {
    const { sy, a } = await estate(t, stage("off"));
    await until("it attests", () => sy.latest?.revision === 1);
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => a.deliver(order(n))));
    assert.ok(answers.every(({ status }) => status === 200));
    await a.kill();
    await a.start();
    const runs = await until("all were applied", async () => {
      const list = await a.journal((e) => executed(e) && e.outcome === "applied");
      return list.length >= 60 && list;
    });
    assert.equal(new Set(runs.map((e) => e.order)).size, runs.length);
  });

  test("a frozen old server cannot hold the switch up, and none contacts it no more", async (t) => {
    const { source, sy, a, move } = await estate(t, stage("complete"));
    await a.deliver(order(1));
    source.freeze();
    await move({ "source-endpoint": "none" });
    assert.ok(sy.latest.connections.every((c) => c.side === "target"));
    assert.equal((await a.deliver(order(2))).status, 200);
    source.thaw();
    await until("nothing of the app is connected", async () => !/name=(producer|worker|bull):/.test(await source.client.client("LIST")));
  });

  test("after none a server on the old address sees no connection attempt", async (t) => {
    const { source, a, move } = await estate(t, stage("complete"));
    await source.stop();
    await move({ "source-endpoint": "none" });
    let attempts = 0;
    const listener = createServer((socket) => {
      attempts++;
      socket.destroy();
    }).listen(source.port, "127.0.0.1");
    await once(listener, "listening");
    source.client.disconnect();
    attempts = 0;
    // Longer than the longest pause between two attempts (1 s).
    await new Promise((resolve) => setTimeout(resolve, 2500));
    listener.close();
    assert.equal(attempts, 0);
    assert.equal(await a.stop(), 0);
  });

  test("a cold start with a frozen Switchyard serves at once what was last known", async (t) => {
    const dir = directory();
    const [source, sy] = [await redis(t), await switchyard(t, { flags: stage("off") })];
    const first = await app(t, sy, { SOURCE_REDIS_URL: source.url, DATA_DIR: dir });
    await first.stop();
    const mute = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(mute, "listening");
    t.after(() => mute.close());
    const a = await app(t, { url: `http://127.0.0.1:${mute.address().port}`, token: "x" }, { SOURCE_REDIS_URL: source.url, DATA_DIR: dir });
    assert.equal((await a.deliver(order(1))).status, 200);
    assert.equal(await a.stop(), 0);
  });

  test("the managed target is reached over TLS with its own authority, and never without proof of it", async (t) => {
    const dir = directory();
    const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
    const subject = ["-subj", "/CN=managed", "-addext", "subjectAltName=IP:127.0.0.1"];
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
    const port = await freePort();
    const tls = ["--tls-port", String(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"];
    const target = await redis(t, { args: [...tls, "--user", "app", "on", ">p@ss:word", "~*", "&*", "+@all"] });
    const sy = await switchyard(t, { flags: { ...stage("complete"), "source-endpoint": "none" } });
    const env = { TARGET_REDIS_URL: `rediss://app:${encodeURIComponent("p@ss:word")}@127.0.0.1:${port}` };
    const trusting = await app(t, sy, { ...env, TARGET_REDIS_CA: cert });
    await until("the order is accepted", async () => (await trusting.deliver(order(1))).status === 200);
    await until("and applied", async () => (await trusting.journal(executed)).length === 1);
    assert.match(await target.client.client("LIST"), /name=producer:ingestion:order-ingestion:target .*user=app/);

    const doubting = await app(t, sy, env);
    const refused = await doubting.deliver(order(2));
    assert.equal(refused.status, 503);
    const log = [...trusting.log, ...doubting.log].map((entry) => JSON.stringify(entry)).join("\n");
    assert.match(log, /self-signed certificate/);
    assert.doesNotMatch(log + trusting.stderr + doubting.stderr, /p@ss|p%40ss/);
  });
});
