import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dataDigest } from "@switchyard/bullmq";
import { describe, test } from "node:test";
import { sha256 } from "../dist/order.js";
import { app, directory, freePort, order, redis, sign, switchyard, until } from "./app.mjs";

const executed = (e) => e.type === "executed";

// Each test has servers of its own; most of its time is waiting for them.
describe("intake", { concurrency: 4 }, () => {
  test("an order is enqueued, executed once and journaled; a second delivery is suppressed", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    const answer = await a.deliver(order(1));
    assert.deepEqual([answer.status, answer.body], [200, { received: true }]);
    await until("it is executed", async () => (await a.journal(executed)).length === 1);
    const [delivery, enqueued, run] = ["delivery", "enqueued", "executed"].map((type) => type);
    const events = await a.journal();
    const of = (type) => events.find((e) => e.type === type);
    assert.equal(of(delivery).status, 200);
    const { at, seq, digest, ...rest } = of(enqueued);
    assert.deepEqual(rest, { type: "enqueued", order: "ord_1", jobId: "stripe_evt_1", queue: "order-ingestion", side: "source", endpoint: "standalone", shadow: false, ok: true, stage: "off", revision: 1, authority: "source", canary: false, instance: "ingestion-test" });
    assert.ok(at > 0 && seq > 0);
    assert.match(of(run).result, /^[0-9a-f]{64}$/);
    assert.match(digest, /^[0-9a-f]{16}$/);
    assert.equal(of(run).digest, digest, "the worker got what was sent");
    assert.deepEqual([of(run).outcome, of(run).mode, of(run).attempt], ["applied", "authoritative", 1]);

    // The job is gone from Redis, so only the sink can tell.
    await source.client.del("bull:order-ingestion:stripe_evt_1");
    assert.equal((await a.deliver(order(1))).status, 200);
    await until("it runs again", async () => (await a.journal(executed)).length === 2);
    assert.deepEqual((await a.journal(executed)).map((e) => e.outcome), ["applied", "suppressed"]);
  });

  test("transient failures are retried, delays are kept, a job without data fails for good", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    await a.deliver(order(1, { switchyard_fail_times: 1 }));
    await a.deliver(order(2, { switchyard_delay_ms: 60_000 }));
    await until("the retry succeeds", async () => (await a.journal(executed)).length === 1);
    const failed = await a.journal((e) => e.type === "failed");
    assert.deepEqual(failed.map((e) => [e.order, e.attempt, e.error]), [["ord_1", 1, "transient failure 1"]]);
    assert.equal((await a.journal(executed))[0].attempt, 2);
    assert.equal(await source.client.zcard("bull:order-ingestion:delayed"), 1);

    // Data that changes or vanishes behind the app's back is told by its digest; the worker gets nothing where the job is gone.
    await a.deliver(order(3, { switchyard_delay_ms: 60_000 }));
    const key = "bull:order-ingestion:stripe_evt_3";
    const data = JSON.parse(await source.client.hget(key, "data"));
    const sent = (await a.journal((e) => e.type === "enqueued" && e.order === "ord_3"))[0].digest;
    data._switchyard.movedTo = "source";
    assert.equal(dataDigest(data), sent, "a stamp that the mover rewrites is no change");
    data.amount++;
    await source.client.hset(key, "data", JSON.stringify(data));
    await source.client.zrem("bull:order-ingestion:delayed", "stripe_evt_3");
    await source.client.lpush("bull:order-ingestion:wait", "stripe_evt_3");
    await source.client.zadd("bull:order-ingestion:marker", 0, "0");
    await until("the changed job runs", async () => (await a.journal(executed)).length === 2);
    const got = (await a.journal(executed))[1];
    assert.deepEqual([got.order, got.digest !== sent, got.digest], ["ord_3", true, dataDigest(data)]);

    await source.client.lpush("bull:order-ingestion:wait", "stripe_evicted");
    await source.client.zadd("bull:order-ingestion:marker", 0, "0");
    await until("the evicted job is refused", async () => (await a.journal((e) => e.type === "failed" && e.jobId === "stripe_evicted")).length === 1);
    const [evicted] = await a.journal((e) => e.type === "failed" && e.jobId === "stripe_evicted");
    assert.equal(evicted.digest, dataDigest({}));
    assert.equal((await a.journal(executed)).length, 2);
  });

  test("a wrong, old or missing signature and a malformed body are refused", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    const body = JSON.stringify(order(1));
    const post = async (headers, text = body) => (await a.post("/webhooks/stripe", text, headers)).status;
    assert.equal(await post({}), 400);
    assert.equal(await post({ "Stripe-Signature": "t=1,v1=00" }), 400);
    assert.equal(await post({ "Stripe-Signature": sign(body, { key: "other" }) }), 400);
    assert.equal(await post({ "Stripe-Signature": sign(body, { at: Date.now() - 301_000 }) }), 400);
    assert.equal(await post({ "Stripe-Signature": sign(body) }, body.replace("1999", "1")), 400);
    for (const bad of ["{", "[]", '{"id":"a:b"}', JSON.stringify(order(1, { amount: 1.5 })), JSON.stringify(order(1, { id: "" }))]) {
      assert.equal(await post({ "Stripe-Signature": sign(bad) }, bad), 400, bad);
    }
    assert.equal(await post({ "Stripe-Signature": `${sign(body)},v1=${"0".repeat(64)}` }), 200);
    assert.equal((await a.journal((e) => e.type === "delivery" && e.status === 400)).length, 5, "only signed deliveries are the provider's");
  });

  test("the canary takes the same path and leaves no order; it and the journal ask for the token", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    const { status, body } = await a.canary("canary_1");
    assert.equal(status, 200);
    assert.deepEqual([body.status, body.side, body.endpoint], [200, "source", "standalone"]);
    const [run] = await until("it is executed", async () => {
      const runs = await a.journal(executed);
      return runs.length === 1 && runs;
    });
    assert.deepEqual([run.outcome, run.jobId], ["canary", "switchyard_canary_1"]);
    assert.equal((await a.journal((e) => e.type === "delivery"))[0].canary, true);
    assert.equal((await a.get("/switchyard/journal", {})).status, 401);
    assert.equal((await a.post("/switchyard/canary", "{}", { Authorization: "Bearer no" })).status, 401);
  });

  test("the journal is read in pages that never overlap, across a kill -9 without losing a committed row", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    await Promise.all(Array.from({ length: 30 }, (_, i) => a.deliver(order(i))));
    await until("all are executed", async () => (await a.journal(executed)).length === 30);
    const before = await a.journal();
    const seen = [];
    let epoch;
    for (let after = 0; ; ) {
      const { body } = await a.get(`/switchyard/journal?after=${after}&limit=7`);
      epoch = body.epoch;
      assert.ok(body.events.length <= 7);
      if (body.events.length === 0) {
        assert.equal(body.next, after);
        break;
      }
      seen.push(...body.events.map((e) => e.seq));
      after = body.next;
    }
    assert.deepEqual(seen, before.map((e) => e.seq));
    assert.ok(seen.every((seq, i) => i === 0 || seq > seen[i - 1]));

    await a.kill();
    await a.start();
    const { body } = await a.get("/switchyard/journal?after=0&limit=5000");
    assert.equal(body.epoch, epoch);
    assert.deepEqual(body.events.slice(0, before.length), before);
    assert.equal((await a.deliver(order(99))).status, 200);
    await until("it goes on", async () => (await a.journal(executed)).length === 31);
    assert.equal((await a.get("/switchyard/journal?after=x")).status, 400);
  });

  test("instances that share a journal apply an order once, whichever runs it, and any of them tells the whole journal", async (t) => {
    const [source, stream, sy, sink] = [await redis(t), await redis(t), await switchyard(t), directory()];
    const env = { SOURCE_REDIS_URL: source.url, JOURNAL_URL: stream.url, SINK_DIR: sink };
    const [a, b] = [await app(t, sy, { ...env, INSTANCE_ID: "a" }), await app(t, sy, { ...env, INSTANCE_ID: "b" })];
    await Promise.all(Array.from({ length: 20 }, (_, i) => [a, b][i % 2].deliver(order(i))));
    await until("all are executed", async () => (await a.journal(executed)).length === 20);
    // The jobs are gone from Redis, and both instances get them again.
    for (const key of await source.client.keys("bull:order-ingestion:stripe_*")) await source.client.del(key);
    await Promise.all(Array.from({ length: 20 }, (_, i) => [b, a][i % 2].deliver(order(i))));
    await until("all are executed again", async () => (await a.journal(executed)).length === 40);
    const outcomes = (await a.journal(executed)).map((e) => e.outcome).sort();
    assert.deepEqual(outcomes, [...Array(20).fill("applied"), ...Array(20).fill("suppressed")]);
    assert.deepEqual(await b.journal(), await a.journal());
    const { instance, instances, epoch } = (await b.get("/switchyard/journal?after=0&limit=1")).body;
    assert.deepEqual([instance, instances], ["b", ["a", "b"]]);

    // What a kill between the sink and the journal leaves behind: whoever runs the job next tells of it.
    await a.kill();
    writeFileSync(join(sink, sha256("ord_x")), "{}");
    await b.deliver(order("x"));
    const told = async () => (await b.journal(executed)).filter((e) => e.order === "ord_x").map((e) => e.outcome);
    await until("it is written down", async () => (await told()).length > 0);
    assert.deepEqual(await told(), ["applied"]);

    // One that was killed may have kept something to itself, until it is back and ends in good order.
    assert.equal(await b.stop(), 0);
    await a.start();
    const closed = async (one) => (await one.journal((e) => e.type === "closed")).length;
    assert.equal(await closed(a), 0);
    assert.equal((await a.get("/switchyard/journal")).body.epoch, epoch);
    assert.equal(await a.stop(), 0);
    await b.start();
    assert.equal(await closed(b), 1);
  });

  test("an app is told which queue is its own, and says so to a canary", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url, QUEUE: "shop-orders", SERVICE: "shop" });
    const canary = (body) => a.post("/switchyard/canary", JSON.stringify(body), { Authorization: "Bearer ingestion-token" });
    const taken = await canary({ id: "canary_1", queue: "shop-orders" });
    assert.deepEqual([taken.status, taken.body.queue, taken.body.side], [200, "shop-orders", "source"]);
    const other = await canary({ id: "canary_2", queue: "order-ingestion" });
    assert.deepEqual([other.status, other.body.error], [422, "this app adds to shop-orders, not to order-ingestion"]);
    assert.equal((await a.journal((e) => e.order === "canary_2")).length, 0);
    await a.deliver(order(1));
    await until("it is executed", async () => (await a.journal(executed)).length === 2);
    assert.deepEqual((await a.journal(executed)).map((e) => e.queue), ["shop-orders", "shop-orders"]);
    assert.equal(await source.client.exists("bull:shop-orders:meta"), 1);
  });

  test("a second process cannot take a data directory that is in use, and takes it over when released", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const first = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    await first.deliver(order(1));
    const second = app(t, sy, { SOURCE_REDIS_URL: source.url, DATA_DIR: first.dir });
    assert.equal(await first.stop(), 0);
    assert.equal((await (await second).journal((e) => e.type === "delivery")).length, 1);
  });

  test("redis killed: 503 with Retry-After at once; the order is accepted when it is back", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    assert.equal((await a.get("/readyz")).status, 200);
    await source.stop();
    const refused = await a.deliver(order(1));
    assert.deepEqual([refused.status, refused.retryAfter], [503, "1"]);
    assert.ok(refused.ms < 1000, `${refused.ms} ms`);
    assert.equal((await a.get("/readyz")).status, 503);
    assert.equal((await a.canary("canary_1")).status, 503);
    await source.start();
    await until("it is accepted", async () => (await a.deliver(order(1))).status === 200);
    await until("and applied", async () => (await a.journal(executed)).some((e) => e.outcome === "applied"));
  });

  test("cold start without redis, and a frozen redis: 503 within three seconds", async (t) => {
    const sy = await switchyard(t);
    const port = await freePort();
    const a = await app(t, sy, { SOURCE_REDIS_URL: `redis://127.0.0.1:${port}` });
    const cold = await a.deliver(order(1));
    assert.equal(cold.status, 503);
    assert.ok(cold.ms < 3000, `${cold.ms} ms`);
    const source = await redis(t, { port });
    await until("it is accepted", async () => (await a.deliver(order(1))).status === 200);

    source.freeze();
    const frozen = await a.deliver(order(2));
    source.thaw();
    assert.equal(frozen.status, 503);
    assert.ok(frozen.ms < 3000, `${frozen.ms} ms`);
    await until("it is accepted", async () => (await a.deliver(order(2))).status === 200);
  });

  test("durable intake: redis killed, every order is acknowledged from disk, survives a kill -9, and is applied once when redis is back", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url, INTAKE: "durable" });
    assert.equal((await a.deliver(order(0))).status, 200);
    await until("it is applied", async () => (await a.journal(executed)).length === 1);
    await source.stop();
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => a.deliver(order(1 + (i % 20)))));
    assert.deepEqual(answers.map((x) => x.status), Array(30).fill(200), "doubles are acknowledged too");
    assert.equal((await a.get("/readyz")).status, 200, "the disk decides");
    assert.equal((await a.canary("canary_1")).status, 503, "whoever asks for the queue itself is told the truth");
    const page = async () => (await a.get("/switchyard/journal?after=0&limit=5000")).body;
    const waiting = (await page()).intake;
    assert.equal(waiting.backlog, 20);
    const kept = await a.journal((e) => e.type === "kept");
    assert.ok(kept.filter((e) => e.order !== "ord_0").every((e) => e.at >= waiting.oldestAt));
    await until("it attests the backlog", () => sy.latest?.intake?.backlog === 20);
    assert.deepEqual(Object.keys(sy.latest.intake).sort(), ["accepted", "backlog", "bytes", "damaged", "delivered", "maxBytes", "oldestMs", "refused"]);

    await a.kill();
    await a.start();
    assert.equal((await page()).intake.backlog, 20, "a cold start during the outage keeps them");
    assert.equal((await a.deliver(order(21))).status, 200);
    await source.start();
    await until("all are applied", async () => (await a.journal((e) => e.outcome === "applied")).length === 22);
    assert.deepEqual((await page()).intake, { backlog: 0, oldestAt: 0 });
    assert.equal(new Set((await a.journal((e) => e.outcome === "applied")).map((e) => e.order)).size, 22);
  });

  test("attestation shows the options of the live connections", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    // It adds jobs first, and then runs them: until then there is no worker to attest.
    const whole = ({ revision, connections }) => revision === 1 && connections.length === 3 && connections.every((c) => c.status === "ready");
    const report = await until("it attests", () => sy.latest && whole(sy.latest) && sy.latest);
    assert.deepEqual([report.service, report.instance, report.bullmq, report.lastKnownGood], ["ingestion", "ingestion-test", "6.7.0", false]);
    const producer = report.connections.find((c) => c.role === "producer" && c.queue === "order-ingestion");
    const { connectionName, ...options } = producer.options;
    assert.deepEqual(options, { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, socketTimeout: 4000, skipWaitingForReady: true });
    assert.equal(connectionName, "producer:ingestion:order-ingestion:source");
    assert.match(await source.client.client("LIST"), /name=producer:ingestion:order-ingestion:source /);
    assert.equal(report.connections.find((c) => c.role === "worker").options.maxRetriesPerRequest, null);
    assert.equal(await a.stop(), 0);
  });

  test("BREAKER=off shows what the breaker prevents: the same outage hangs", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url, BREAKER: "off" });
    await until("it works", async () => (await a.deliver(order(1))).status === 200);
    const report = await until("it attests", () => sy.latest);
    assert.equal(report.connections.find((c) => c.role === "producer").options.enableOfflineQueue, true);
    await source.stop();
    const answer = a.deliver(order(2));
    assert.equal(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 3500, "hangs"))]), "hangs");
    await source.start();
    assert.equal((await answer).status, 200);
  });
});
