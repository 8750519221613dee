import assert from "node:assert/strict";
import { test } from "node:test";
import { Redis } from "ioredis";
import { Consumer, Producer, producerOptions, reportConsumer, reportProducer, workerOptions } from "../dist/index.js";
import { redis, until } from "./redis.mjs";

const purpose = { service: "test", queue: "orders", side: "source" };
const place = { side: "source", endpoint: "standalone" };

test("every connection is attested by the id that the server gave it, also after it connected again", async (t) => {
  const server = await redis(t);
  const watcher = new Redis(server.url);
  const ids = async () => [...(await watcher.client("LIST")).matchAll(/^id=(\d+)/gm)].map((m) => Number(m[1]));
  const others = await ids();
  const producer = new Producer({ queue: "orders", connection: producerOptions(server, purpose) });
  const consumer = new Consumer({ queue: "orders", connection: workerOptions(server, purpose), process: async () => undefined });
  t.after(async () => {
    watcher.disconnect();
    producer.close();
    await consumer.close(1000);
  });
  const runId = /^run_id:(\S+)/m.exec(await watcher.info("server"))[1];
  const listed = async () => (await ids()).filter((id) => !others.includes(id));
  const attested = () => {
    const all = [reportProducer(place, "orders", producer), reportConsumer(place, "worker", "orders", consumer)];
    assert.ok(all.every((r) => r.runId === runId));
    return all.flatMap((r) => r.clientIds);
  };
  const same = async () => {
    const [want, got] = [await listed(), attested()];
    assert.deepEqual(got.sort(), want.sort());
    return got;
  };
  const before = await until("all are attested", same);
  assert.equal(before.length, 3); // the worker's second one is that on which it blocks
  await watcher.client("KILL", "ID", String(before[0]));
  await until("the new one is attested", async () => !(await same()).includes(before[0]));
});

test("each of a worker's connections is attested by itself", async (t) => {
  const server = await redis(t);
  const watcher = new Redis(server.url);
  const consumer = new Consumer({
    queue: "orders",
    connection: workerOptions(server, purpose),
    process: async () => undefined,
    worker: { drainDelay: 600 },
  });
  t.after(async () => {
    watcher.disconnect();
    await consumer.close(1000);
  });
  const attested = () => reportConsumer(place, "worker", "orders", consumer).clientIds;
  const blocking = async () => {
    const line = (await watcher.client("LIST")).split("\n").find((l) => / cmd=bzpopmin /.test(l));
    return line && Number(/^id=(\d+)/.exec(line)[1]);
  };
  const first = await until("it blocks", blocking);
  assert.equal(attested().length, 2);
  assert.ok(attested().includes(first));
  await watcher.client("KILL", "ID", String(first));
  const second = await until("it blocks again, for as long as before", blocking);
  await until("that is attested before it ends", async () => attested().includes(second));
  consumer.client.disconnect(); // as a server that refuses writes makes ioredis do again and again
  await until("the other's id is gone", async () => attested().length === 1);
  assert.deepEqual(attested(), [second]);
});
