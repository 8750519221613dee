import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { boundedAdd, fromEnvironment, Pipeline, PostgresJournal, RedisJournal, sqlEffects, SqliteJournal, UnavailableError } from "@switchyard/bullmq";
import { Queue } from "bullmq";
import pg from "pg";
import { postgres } from "./postgres.mjs";
import { directory, redis, until } from "./redis.mjs";
import { switchyard } from "./switchyard.mjs";

const executed = (e) => e.type === "executed";
const outcomes = (events) => events.filter(executed).map((e) => e.outcome);

describe("pipeline", { concurrency: 3 }, () => {
  const ends = [];
  let server, database, pool;
  before(async () => {
    const whole = { after: (end) => ends.unshift(end) };
    [server, database] = [await redis(whole), await postgres(whole)];
    pool = new pg.Pool({ connectionString: database.url, max: 20 }).on("error", () => undefined);
    whole.after(() => pool.end());
    await pool.query("CREATE TABLE orders (id text, amount integer)");
  });
  after(async () => {
    for (const end of ends) await end();
  });

  /** A pipeline that is started; its journal is of its own in PostgreSQL, unless told otherwise. */
  async function pipeline(t, { start = true, work = true, prefix = `p${randomUUID().slice(0, 8)}_`, ...config } = {}) {
    const journal = new PostgresJournal(pool, { prefix });
    const log = [];
    const orders = new Pipeline({
      queue: `q-${randomUUID()}`,
      redis: { standalone: { url: server.url } },
      switchyard: { url: "http://127.0.0.1:1", token: "none" },
      token: "secret",
      dataDir: directory(),
      instance: "web.1",
      journal,
      process: async () => undefined,
      log: (event, detail) => log.push({ event, ...detail }),
      ...config,
    });
    t.after(() => orders.close());
    if (start) await orders.start();
    if (work && config.process !== null) await orders.worker();
    const events = async () => (await journal.read(0, 1000)).events.map((e) => e.event);
    return { orders, events, prefix, log };
  }

  const rows = async (id) => (await pool.query("SELECT amount FROM orders WHERE id = $1", [id])).rows.length;
  const insert = async (client, id) => void (await client.query("INSERT INTO orders VALUES ($1, 1)", [id]));
  // Runs the job again, as after a stall or on the other side.
  const again = async (orders, id) => {
    const key = `bull:${orders.queue}:${id}`;
    await until("its job is done", async () => (await server.client.hget(key, "finishedOn")) !== null);
    await server.client.del(key);
    await server.client.zrem(`bull:${orders.queue}:completed`, id);
  };

  test("a job that an earlier version has queued is tried again, and said to be of another shape, until `key` names it", async (t) => {
    const queue = `q-${randomUUID()}`;
    const took = [];
    const one = await pipeline(t, { queue, process: async (order) => void took.push(order) });
    const before = new Queue(queue, { connection: server.client, prefix: "bull" });
    await before.add("order", { eventId: "e1", amount: 5 }, { jobId: "e1", attempts: 100, backoff: 200 });
    const said = await until("the worker says why", async () => one.log.find((l) => l.event === "job-failed" && l.attempt > 1));
    assert.deepEqual([said.job, said.side, said.queue], ["e1", "source", queue]);
    assert.match(said.error, /finds no id in its fields eventId, amount/);
    await one.orders.close();
    await pipeline(t, { queue, process: async (order) => void took.push(order), key: (o) => o.id ?? o.eventId });
    await until("it ran", async () => took.length === 1);
    assert.deepEqual(took, [{ eventId: "e1", amount: 5 }]);
    // What a server has evicted comes back by no attempt.
    await before.add("order", {}, { jobId: "e2", attempts: 100 });
    const job = await until("it failed", async () => (await before.getFailed())[0]);
    assert.match(job.failedReason, /no data: it was lost/);
    await before.close();
  });

  test("with `transaction` an order and its event are written together, once, whoever runs it", async (t) => {
    let failures = 1;
    const process = async (order, { tx }) => {
      await insert(tx, order.id);
      if (failures-- > 0) throw new Error("after the insert");
    };
    const id = randomUUID();
    const one = await pipeline(t, { transaction: true, process, instance: "worker.1" });
    await one.orders.enqueue({ id });
    await until("it took effect", async () => outcomes(await one.events()).length === 1);
    assert.equal(await rows(id), 1, "what the first attempt wrote is gone");
    assert.equal((await one.events()).filter((e) => e.type === "failed").length, 1);
    assert.equal((await one.events()).find(executed).instance, "worker.1");
    await again(one.orders, id);
    await one.orders.enqueue({ id });
    await until("it ran again", async () => outcomes(await one.events()).length === 2);
    assert.deepEqual([outcomes(await one.events()), await rows(id)], [["applied", "suppressed"], 1]);
  });

  test("with `effects` what the query finds is believed, not what the run says", async (t) => {
    const effects = sqlEffects(pool, "SELECT 1 FROM orders WHERE id = $1");
    const [twice, never, killed] = [randomUUID(), randomUUID(), randomUUID()];
    const process = async ({ id }) => {
      if (id === twice) await insert(pool, id);
      if (id === twice) await insert(pool, id);
      if (id === killed && (await rows(id)) === 0) await insert(pool, id);
    };
    const { orders, events } = await pipeline(t, { effects, process, job: { attempts: 1 } });
    await insert(pool, killed); // it took effect, and its process was killed before that was written down
    for (const id of [twice, never, killed]) await orders.enqueue({ id });
    await until("all ran", async () => (await events()).filter((e) => executed(e) || e.type === "failed").length === 4);
    const of = async (id) => outcomes((await events()).filter((e) => e.order === id));
    assert.deepEqual(await of(twice), ["applied", "applied"]);
    assert.deepEqual(await of(killed), ["applied"]);
    assert.deepEqual(await of(never), []);
    const failed = (await events()).find((e) => e.type === "failed");
    assert.match(failed.error, /ran, and took no effect/);
    await again(orders, killed);
    await orders.enqueue({ id: killed });
    await until("it ran again", async () => (await of(killed)).length === 2);
    assert.deepEqual(await of(killed), ["applied", "suppressed"]);
    await assert.rejects(sqlEffects(pool, "INSERT INTO orders VALUES ($1, 1) RETURNING 1")({ id: never }), /read-only/);
  });

  test("where nobody says otherwise each run counts: what ran twice is told twice", async (t) => {
    for (const [effects, process, want] of [
      [undefined, async () => undefined, ["applied", "applied"]],
      ["once", async () => undefined, ["applied", "suppressed"]],
      [undefined, async (_, { job }) => job.data.first, ["applied", "suppressed"]],
    ]) {
      const { orders, events } = await pipeline(t, { process, ...(effects && { effects }) });
      await orders.enqueue({ id: "o1", first: true });
      await until("it ran", async () => outcomes(await events()).length === 1);
      await again(orders, "o1");
      await orders.enqueue({ id: "o1", first: false });
      await until("it ran again", async () => outcomes(await events()).length === 2);
      assert.deepEqual(outcomes(await events()), want);
    }
  });

  test("web and worker apart share a journal: one adds, the other runs, each attests what it has", async (t) => {
    const sy = await switchyard(t, { flags: { "apart-stage": "off", "apart-ramp": 0 } });
    const shared = { queue: "apart", switchyard: { url: sy.url, token: sy.token }, service: "shop" };
    const ran = [];
    const web = await pipeline(t, { ...shared, instance: "web.1", work: false, process: undefined });
    const worker = await pipeline(t, { ...shared, instance: "worker.1", start: false, prefix: web.prefix, process: async (o) => void ran.push(o.id) });
    await web.orders.enqueue({ id: "o1" });
    await until("it ran", () => ran.length === 1);
    await until("both say so", async () => outcomes(await web.events()).length === 1);
    const by = Object.fromEntries((await web.events()).map((e) => [e.type, e.instance]));
    assert.deepEqual(by, { enqueued: "web.1", delivery: "web.1", executed: "worker.1" });
    const of = (instance) => sy.attestations.filter((a) => a.instance === instance).at(-1);
    await until("both attest", () => of("web.1")?.connections.length === 2 && of("worker.1")?.connections.length === 1);
    assert.deepEqual(of("web.1").connections.map((c) => c.role), ["producer", "producer"]);
    assert.deepEqual(of("worker.1").connections.map((c) => c.role), ["worker"]);
    assert.equal(of("web.1").journal, of("worker.1").journal);
    await assert.rejects(worker.orders.enqueue({ id: "o2" }), /call start\(\)/);
    await assert.rejects(web.orders.worker(), /needs `process`/);
    // The one that leaves first leaves the other's open.
    await worker.orders.close();
    assert.ok(!(await web.events()).some((e) => e.type === "closed"));
    await web.orders.close();
    assert.equal((await web.events()).at(-1).type, "closed");
  });

  test("while the journal cannot be written jobs wait, nothing is told as whole, and nothing is told twice", async (t) => {
    const own = await postgres({ after: (end) => t.after(end) });
    const mine = new pg.Pool({ connectionString: own.url, max: 5, connectionTimeoutMillis: 1000 }).on("error", () => undefined);
    const journal = new PostgresJournal(mine);
    const ran = [];
    const { orders, log } = await pipeline(t, { journal, process: async (o) => void ran.push(o.id) });
    const http = createServer(orders.routes()).listen(0, "127.0.0.1");
    await once(http, "listening");
    t.after(() => http.close());
    const get = async (path) => fetch(`http://127.0.0.1:${http.address().port}${path}`, { headers: { Authorization: "Bearer secret" } });
    await orders.enqueue({ id: "o0" });
    await until("it is journaled", async () => outcomes((await (await get("/switchyard/journal")).json()).events).length === 1);
    await own.stop();
    for (let i = 1; i <= 20; i++) await orders.enqueue({ id: `o${i}` });
    await until("they ran", () => ran.length === 21);
    await until("it is noticed", () => log.some((l) => l.event === "journal-failed"));
    assert.equal((await get("/switchyard/journal")).status, 503);
    assert.equal((await get("/readyz")).status, 503);
    await own.start();
    const events = async () => (await (await get("/switchyard/journal?limit=5000")).json()).events ?? [];
    await until("all is written", async () => outcomes(await events()).length === 21);
    const all = await events();
    assert.equal(ran.length, 21, "no job ran again");
    assert.deepEqual(all.map((e) => e.seq), all.map((_, i) => i + 1));
    for (const type of ["enqueued", "delivery", "executed"]) assert.equal(all.filter((e) => e.type === type).length, 21, type);
    await orders.close();
    await mine.end();
  });

  test("what was promised is what the provider got to see, not what came of the add", async (t) => {
    const gone = await redis(t);
    const { orders, events } = await pipeline(t, { redis: { standalone: { url: gone.url } }, work: false });
    const answers = { "/swallowed": 200, "/told": 503 };
    const http = createServer(async (req, res) => {
      await orders.enqueue({ id: req.url }, { provider: "shop", response: res }).catch(() => undefined);
      res.writeHead(answers[req.url]).end();
    }).listen(0, "127.0.0.1");
    await once(http, "listening");
    t.after(() => http.close());
    await gone.stop();
    for (const path of Object.keys(answers)) await fetch(`http://127.0.0.1:${http.address().port}${path}`);
    const deliveries = async () => (await events()).filter((e) => e.type === "delivery");
    await until("both are journaled", async () => (await deliveries()).length === 2);
    for (const d of await deliveries()) assert.deepEqual([d.status, typeof d.error], [answers[d.order], "string"], d.order);
  });

  test("an app that adds jobs itself is told where, with the stamp, and has the copy made", async (t) => {
    const target = await redis(t);
    const sy = await switchyard(t, { flags: { "own-stage": "dualwrite", "own-ramp": 0 } });
    const own = { queue: "own", switchyard: { url: sy.url, token: sy.token }, redis: { standalone: { url: server.url }, target: { url: target.url } } };
    const { orders, log } = await pipeline(t, { ...own, journal: undefined, work: false });
    const places = [];
    await orders.route({ id: "o1" }, ({ producer, data, shadow }) => {
      places.push([shadow, data._switchyard.authority]);
      return boundedAdd(producer, { name: "order", data, opts: { jobId: "o1" } });
    });
    assert.deepEqual(places, [[false, "source"], [true, "source"]]);
    assert.equal(await server.client.exists("bull:own:o1"), 1);
    assert.equal(await target.client.exists("bull:own-shadow:o1"), 1);
    const add = (id, fails) => orders.route({ id }, async ({ shadow }) => assert.notEqual(shadow, fails, `${id} failed`));
    await add("o2", true);
    assert.deepEqual(log.filter((l) => l.event === "copy-failed").map((l) => l.queue), ["own"]);
    await assert.rejects(add("o3", false), /o3 failed/);
  });

  test("a queue with a prefix of its own is that queue everywhere", async (t) => {
    const sy = await switchyard(t, { flags: { "shop.orders-stage": "off", "shop.orders-ramp": 0 } });
    const own = { queue: "shop:orders", switchyard: { url: sy.url, token: sy.token } };
    const { orders, events } = await pipeline(t, own);
    await orders.enqueue({ id: "o1" });
    await until("it ran", async () => outcomes(await events()).length === 1);
    assert.equal(await server.client.exists("shop:orders:meta"), 1);
    assert.deepEqual((await events()).flatMap((e) => e.queue ?? []), ["shop:orders", "shop:orders"]);
    await until("it attests", () => sy.latest?.revision === 1 && sy.latest.connections.length === 3);
    assert.deepEqual(sy.latest.connections.map((c) => c.queue), ["shop:orders", "shop:orders-shadow", "shop:orders"]);
  });

  test("a canary is seen by no function of the app", async (t) => {
    const seen = [];
    const see = async (o) => (seen.push(o), "r");
    const { orders, events } = await pipeline(t, { key: (o) => o.number, process: see, result: see, effects: see });
    const http = createServer(orders.routes()).listen(0, "127.0.0.1");
    await once(http, "listening");
    t.after(() => http.close());
    const headers = { Authorization: "Bearer secret" };
    const res = await fetch(`http://127.0.0.1:${http.address().port}/switchyard/canary`, { method: "POST", body: '{"id":"canary_1"}', headers });
    assert.equal(res.status, 200);
    await until("it ran", async () => outcomes(await events()).length === 1);
    assert.deepEqual([outcomes(await events()), seen], [["canary"], []]);
  });

  test("what cannot be is refused with its reason, before anything is opened", async (t) => {
    const refused = (config, why) => assert.rejects(pipeline(t, { start: false, work: false, ...config }), why);
    const journal = new RedisJournal({ redis: { url: server.url } });
    await refused({ journal }, /the journal is on the standalone server, 127.0.0.1:\d+: give it its own/);
    await refused({ journal: new SqliteJournal(directory()), transaction: true }, /`transaction` needs a journal that has some/);
    const { orders } = await pipeline(t, { start: false, work: false });
    await assert.rejects(orders.enqueue({ id: "o1" }), /call start\(\)/);
    await assert.rejects(orders.enqueue({ amount: 1 }), /the order has no id; see `key`/);
    const evicting = await redis(t, { args: ["--maxmemory-policy", "allkeys-lru"] });
    const forgets = new RedisJournal({ redis: { url: evicting.url } });
    await assert.rejects(forgets.open("web.1"), /evicts keys: maxmemory-policy is allkeys-lru/);
    await forgets.close();
    assert.throws(() => new PostgresJournal(pool, { prefix: "a; DROP TABLE" }), /prefix/);
    const env = { SWITCHYARD_URL: "http://x", SWITCHYARD_TOKEN: "hush", INGESTION_TOKEN: "hush", DATA_DIR: "d" };
    for (const [change, why] of [
      [{ SWITCHYARD_TOKEN: "" }, /^SWITCHYARD_TOKEN is not set$/],
      [{ WAIT_REPLICAS: "hush" }, /^WAIT_REPLICAS is not a whole number$/],
      [{ SENTINEL_ADDRS: "hush" }, /^SENTINEL_ADDRS is not a list of host:port$/],
      [{ SENTINEL_ADDRS: "a:1" }, /^SENTINEL_MASTER is not set$/],
      [{ TARGET_REDIS_URL: "rediss://x", TARGET_REDIS_CA: "/hush" }, /^TARGET_REDIS_CA cannot be read: ENOENT$/],
    ]) {
      assert.throws(() => fromEnvironment({ ...env, ...change }), { message: why });
    }
    assert.equal(fromEnvironment({ ...env, DYNO: "web.3" }).instance, "web.3");
    assert.throws(() => fromEnvironment({ ...env, DATA_DIR: "" }), { message: /^DATA_DIR is not set$/ });
    assert.equal(fromEnvironment({ ...env, DATA_DIR: "", DYNO: "web.3" }).dataDir, ".switchyard/web.3");
    const users = { SENTINEL_ADDRS: "a:1", SENTINEL_MASTER: "m", SENTINEL_REDIS_USERNAME: "app", SENTINEL_USERNAME: "watcher" };
    const { sentinel } = fromEnvironment({ ...env, ...users }).redis;
    assert.deepEqual([sentinel.username, sentinel.sentinelUsername], ["app", "watcher"]);
    await assert.rejects(orders.close().then(() => orders.enqueue({ id: "o1" })), UnavailableError);
  });
});
