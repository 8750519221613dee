// What `switchyard scan` asks of a Queue, held against BullMQ itself (docs/breaker.md).
import assert from "node:assert/strict";
import { test } from "node:test";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { freePort, redis, until } from "./redis.mjs";

const connection = { host: "127.0.0.1", enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 50 };

async function started(t, options) {
  const port = await freePort();
  const client = new Redis({ ...connection, port });
  client.on("error", () => undefined);
  t.after(() => client.disconnect());
  const queue = new Queue("orders", { connection: client, ...options });
  queue.on("error", () => undefined);
  const add = (id) => queue.add("order", {}, { jobId: id });
  return { port, add };
}

test("started while redis is down, a queue with the options of the scan refuses at once and works when redis is there", async (t) => {
  const { port, add } = await started(t, { skipWaitingForReady: true, skipVersionCheck: true });
  await assert.rejects(add("evt_1"), /enableOfflineQueue/);
  await redis(t, { port });
  await until("the add succeeds", () => add("evt_1").then(() => true));
});

test("with skipWaitingForReady alone it refuses for ever", async (t) => {
  const { port, add } = await started(t, { skipWaitingForReady: true });
  await assert.rejects(add("evt_1"), /enableOfflineQueue/);
  const server = await redis(t, { port });
  await until("the queue's connection is there", async () => (await server.client.client("LIST")).trim().split("\n").length > 1);
  for (let n = 0; n < 20; n++) await assert.rejects(add("evt_1"), /enableOfflineQueue/);
  assert.equal(await server.client.exists("bull:orders:evt_1"), 0);
});

test("without it the first add hangs", async (t) => {
  const { port, add } = await started(t, {});
  let settled = false;
  const adding = add("evt_1").finally(() => (settled = true));
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(settled, false);
  await redis(t, { port });
  await adding;
});
