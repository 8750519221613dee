import assert from "node:assert/strict";
import { test } from "node:test";
import { Drill, Producer, producerOptions } from "../dist/index.js";
import { redis, until } from "./redis.mjs";

const rig = (t, made = [], keepMs) => {
  const drill = new Drill({
    producer: (url, queue) => {
      const producer = new Producer({ queue, connection: producerOptions({ url }, { service: "test", queue, side: "drill" }) });
      made.push(producer);
      return producer;
    },
    queues: ["orders"],
    hosts: ["127.0.0.1"],
    keepMs,
  });
  t.after(() => drill.close());
  return drill;
};

test("a drill opens a producer of the app's kind, adds and closes", async (t) => {
  const made = [];
  const drill = rig(t, made);
  const server = await redis(t);
  const opened = await drill.handle({ op: "open", id: "a", url: server.url, queue: "orders" });
  assert.deepEqual([opened.status, opened.body.ready], [200, true]);
  assert.equal((await drill.handle({ op: "open", id: "a", url: server.url, queue: "orders" })).status, 409);
  assert.equal((await drill.handle({ op: "add", id: "a", job: "j1" })).status, 200);
  await server.stop();
  assert.equal((await drill.handle({ op: "add", id: "a", job: "j2" })).status, 503);
  assert.equal((await drill.handle({ op: "close", id: "a" })).status, 200);
  await until("the connection has ended", () => made[0].client.status === "end");
  assert.equal((await drill.handle({ op: "add", id: "a", job: "j3" })).status, 404);
});

test("what a drill may not ask is refused, and nothing is opened", async (t) => {
  const made = [];
  const drill = rig(t, made);
  for (const [rule, request, says] of [
    ["no object", null, "id"],
    ["no id", { op: "open" }, "id"],
    ["an id that is none", { op: "open", id: "a b" }, "id"],
    ["no operation", { id: "a" }, "op"],
    ["no address", { op: "open", id: "a", queue: "orders" }, "url"],
    ["an address that is none", { op: "open", id: "a", url: "nonsense", queue: "orders" }, "host unknown"],
    ["another protocol", { op: "open", id: "a", url: "http://127.0.0.1/", queue: "orders" }, "host unknown"],
    ["another host", { op: "open", id: "a", url: "redis://:secret@192.0.2.1:6379", queue: "orders" }, "192.0.2.1"],
    ["a queue of nobody", { op: "open", id: "a", url: "redis://127.0.0.1:1", queue: "others" }, "others"],
    ["a job id that is none", { op: "add", id: "a", job: "a:b" }, "job"],
  ]) {
    const { status, body } = await drill.handle(request);
    assert.equal(status, 400, rule);
    assert.match(body.error, new RegExp(says), rule);
    assert.doesNotMatch(body.error, /secret/, rule);
  }
  assert.equal(made.length, 0);
});

test("a drill that loses contact leaves nothing behind, and no more than four producers are open", async (t) => {
  const made = [];
  const drill = rig(t, made, 300);
  const server = await redis(t);
  const open = (id) => drill.handle({ op: "open", id, url: server.url, queue: "orders" });
  for (const id of ["1", "2", "3", "4"]) assert.equal((await open(id)).status, 200);
  assert.equal((await open("5")).status, 409);
  await until("all have ended", () => made.every((p) => p.client.status === "end"));
  assert.equal((await open("5")).status, 200);
});
