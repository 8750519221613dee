import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { boundedAdd, Consumer, Producer, producerOptions, UnavailableError, workerOptions } from "@switchyard/bullmq";
import { freePort, redis, sentinels, until } from "./redis.mjs";

const purpose = { service: "test", queue: "order-ingestion", side: "source" };
const job = (id) => ({ name: "order", data: { id }, opts: { jobId: id } });

function producer(t, endpoint, config = {}) {
  const p = new Producer({ queue: purpose.queue, connection: producerOptions(endpoint, purpose), ...config });
  t.after(() => p.close());
  return p;
}

async function refused(promise) {
  const start = Date.now();
  await assert.rejects(promise, UnavailableError);
  return Date.now() - start;
}

// Each test has servers of its own; most of its time is waiting for them.
describe("producers and consumers", { concurrency: 4 }, () => {
  test("an add fails at once after redis was killed, and works again when it is back", async (t) => {
    const server = await redis(t);
    const p = producer(t, server);
    assert.ok(await p.waitReady(5000));
    await boundedAdd(p, job("evt_1"));
    await server.stop();
    await until("the loss is noticed", () => !p.ready);
    assert.ok((await refused(boundedAdd(p, job("evt_2")))) < 1500);
    await server.start();
    await until("the add succeeds", () => boundedAdd(p, job("evt_2")).then(() => true));
    assert.equal(await server.client.llen("bull:order-ingestion:wait"), 2);
  });

  test("an add fails at once on a cold start without redis, and works when it appears", async (t) => {
    const port = await freePort();
    const p = producer(t, { url: `redis://127.0.0.1:${port}` });
    assert.ok((await refused(boundedAdd(p, job("evt_1")))) < 1500);
    const server = await redis(t, { port });
    await until("the add succeeds", () => boundedAdd(p, job("evt_1")).then(() => true));
    assert.match(await server.client.hget("bull:order-ingestion:meta", "version"), process.env.BULLMQ_UNDER_TEST ? /^bullmq:5\.81/ : /^bullmq:6\.7/);
  });

  test("an add to a frozen redis fails within three seconds", async (t) => {
    const server = await redis(t);
    const p = producer(t, server);
    assert.ok(await p.waitReady(5000));
    server.freeze();
    assert.ok((await refused(boundedAdd(p, job("evt_1")))) < 3000);
    await until("the dead socket is dropped and adds fail at once", () => !p.ready);
    assert.ok((await refused(boundedAdd(p, job("evt_1")))) < 1500);
    server.thaw();
    await until("the add succeeds", () => boundedAdd(p, job("evt_1")).then(() => true));
  });

  test("an add to a server that accepts and says nothing fails at once", async (t) => {
    const mute = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(mute, "listening");
    t.after(() => mute.close());
    const p = producer(t, { url: `redis://127.0.0.1:${mute.address().port}` });
    assert.ok((await refused(boundedAdd(p, job("evt_1")))) < 1500);
  });

  test("a demoted server is left, not retried for ever", async (t) => {
    const server = await redis(t);
    const other = await redis(t);
    const p = producer(t, server);
    assert.ok(await p.waitReady(5000));
    await boundedAdd(p, job("evt_0"));
    await server.client.replicaof("127.0.0.1", other.port);
    const before = p.sockets;
    await assert.rejects(boundedAdd(p, job("evt_1")), /READONLY/);
    await until("it reconnects", () => p.sockets > before && p.ready);
  });

  test("the job id decides: the same event twice is one job", async (t) => {
    const server = await redis(t);
    const p = producer(t, server);
    assert.ok(await p.waitReady(5000));
    await Promise.all([boundedAdd(p, job("evt_1")), boundedAdd(p, job("evt_1"))]);
    assert.equal(await server.client.llen("bull:order-ingestion:wait"), 1);
  });

  test("an address never appears in an error", () => {
    for (const url of ["redis://:s3cret@", "http://:s3cret@host", "s3cret"]) {
      assert.throws(() => producerOptions({ url }, purpose), (err) => !String(err.stack).includes("s3cret@") && !err.message.includes("s3cret"));
    }
  });

  test("replicas: an add counts once one confirmed; without any it is refused; a failover is survived", async (t) => {
    const estate = await sentinels(t);
    const endpoint = { sentinels: estate.addresses, name: estate.name };
    const p = producer(t, endpoint, { replicas: 1, replicaTimeoutMs: 500 });
    assert.ok(await p.waitReady(5000));
    await Promise.all(Array.from({ length: 50 }, (_, i) => boundedAdd(p, job(`evt_${i}`))));

    const done = new Set();
    const consumer = new Consumer({
      queue: purpose.queue,
      connection: workerOptions(endpoint, purpose),
      process: async (j) => void done.add(j.id),
    });
    t.after(() => consumer.close(2000));
    await until("the worker runs them", () => done.size === 50);

    await estate.nodes[0].stop();
    assert.ok((await refused(boundedAdd(p, job("evt_x")))) < 3000);
    await until("adds are confirmed by the new master's replica", () => boundedAdd(p, job("evt_50")).then(() => true), 20_000);
    await until("the worker followed", () => done.has("evt_50"), 20_000);
    assert.notEqual(await estate.master(), estate.nodes[0].port);

    for (const node of estate.nodes.slice(1)) if (node.port !== (await estate.master())) await node.stop();
    await assert.rejects(boundedAdd(p, job("evt_51")), /0 of 1 replicas confirmed/);
  });

  test("closing a worker is bounded when its server is frozen, and leaves no connection behind", async (t) => {
    const server = await redis(t);
    let started;
    let finish;
    const running = new Promise((resolve) => (started = resolve));
    const work = new Promise((resolve) => (finish = resolve));
    t.after(() => finish());
    const consumer = new Consumer({
      queue: purpose.queue,
      connection: workerOptions(server, purpose),
      process: async () => {
        started();
        await work;
      },
    });
    const p = producer(t, server);
    assert.ok(await p.waitReady(5000));
    await boundedAdd(p, job("evt_1"));
    await running;
    server.freeze();
    const start = Date.now();
    assert.equal(await consumer.close(300), false);
    assert.ok(Date.now() - start < 2000);
    server.thaw();
    p.close();
    await until("only the test's own connection is left", async () => (await server.client.client("LIST")).trim().split("\n").length === 1);
  });
});

test("a worker whose server was never to be had closes without ending the process", async (t) => {
  const server = createServer((socket) => socket.on("error", () => undefined).end("no TLS\n")).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const errors = [];
  const consumer = new Consumer({
    queue: "orders",
    connection: workerOptions({ url: `rediss://127.0.0.1:${server.address().port}` }, { service: "test", queue: "orders", side: "target" }),
    process: async () => undefined,
    onError: (err) => errors.push(err),
  });
  await until("it was refused", async () => errors.length > 0);
  await consumer.close(1000); // an exception that nobody catches fails this test
  await until("its connections are at their end", async () => consumer.clients.every((c) => c.status === "end"));
});
