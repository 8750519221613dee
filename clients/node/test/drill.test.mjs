import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Drill, Producer, producerOptions } from "../dist/index.js";
import { directory, redis, until } from "./redis.mjs";

const rig = (t, made = [], config = {}) => {
  const drill = new Drill({
    producer: (url, queue) => {
      const producer = new Producer({ queue, connection: producerOptions({ url }, { service: "test", queue, side: "drill" }) });
      made.push(producer);
      return producer;
    },
    queues: ["orders"],
    hosts: ["127.0.0.1"],
    ...config,
  });
  t.after(() => drill.close());
  return drill;
};

// The folder in which a drill's intakes make theirs. os.tmpdir() follows TMPDIR, and tests of one file run one after the other.
const folders = (t) => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = directory();
  t.after(() => (before === undefined ? delete process.env.TMPDIR : (process.env.TMPDIR = before)));
  return process.env.TMPDIR;
};

test("a drill opens a producer of the app's kind, adds and closes", async (t) => {
  const made = [];
  const drill = rig(t, made);
  const server = await redis(t);
  const opened = await drill.handle({ op: "open", id: "a", url: server.url, queue: "orders" });
  assert.deepEqual([opened.status, opened.body.ready, opened.body.intake, opened.body.instance], [200, true, false, undefined]);
  assert.equal((await drill.handle({ op: "restart", id: "a" })).status, 400, "there is no intake to restart");
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
  for (const [rule, request, says, answer = 400] of [
    ["no object", null, "id"],
    ["no id", { op: "open" }, "id"],
    ["an id that is none", { op: "open", id: "a b" }, "id"],
    ["no operation", { id: "a" }, "op"],
    ["an operation that is none", { op: "stop", id: "a" }, "op"],
    ["an intake that the app does not have", { op: "open", id: "a", url: "redis://127.0.0.1:1", queue: "orders", intake: true }, "no durable intake"],
    ["no address", { op: "open", id: "a", queue: "orders" }, "url"],
    ["an address that is none", { op: "open", id: "a", url: "nonsense", queue: "orders" }, "host unknown"],
    ["another protocol", { op: "open", id: "a", url: "http://127.0.0.1/", queue: "orders" }, "host unknown"],
    ["another host", { op: "open", id: "a", url: "redis://:secret@192.0.2.1:6379", queue: "orders" }, "192.0.2.1"],
    ["a queue of nobody", { op: "open", id: "a", url: "redis://127.0.0.1:1", queue: "others" }, "others", 422],
    ["a job id that is none", { op: "add", id: "a", job: "a:b" }, "job"],
  ]) {
    const { status, body } = await drill.handle(request);
    assert.equal(status, answer, rule);
    assert.match(body.error, new RegExp(says), rule);
    assert.doesNotMatch(body.error, /secret/, rule);
  }
  assert.equal(made.length, 0);
});

test("a drill that loses contact leaves nothing behind, and no more than four producers are open", async (t) => {
  const made = [];
  const drill = rig(t, made, { keepMs: 300 });
  const server = await redis(t);
  const open = (id) => drill.handle({ op: "open", id, url: server.url, queue: "orders" });
  for (const id of ["1", "2", "3", "4"]) assert.equal((await open(id)).status, 200);
  assert.equal((await open("5")).status, 409);
  await until("all have ended", () => made.every((p) => p.client.status === "end"));
  assert.equal((await open("5")).status, 200);
});

test("with an intake an add is taken while Redis is away, survives a restart, and is delivered once", async (t) => {
  const server = await redis(t);
  const dir = folders(t);
  const made = [];
  const drill = rig(t, made, { intake: true, instance: "web.1" });
  const ask = async (op, rest = {}) => (await drill.handle({ op, id: "a", ...rest })).body;
  const opened = await ask("open", { url: server.url, queue: "orders", intake: true });
  assert.deepEqual([opened.status, opened.ready, opened.intake, opened.instance], [200, true, true, "web.1"]);
  await server.stop();
  assert.equal((await ask("add", { job: "j1" })).status, 200);
  await until("a delivery has failed", async () => (await ask("backlog")).failure);
  assert.equal((await ask("restart")).status, 200);
  await until("the connection before it has ended", () => made[0].client.status === "end");
  assert.equal((await ask("add", { job: "j2" })).status, 200);
  const waiting = await until("the new one's delivery has failed", async () => ((await ask("backlog")).failure ? ask("backlog") : undefined));
  assert.equal(waiting.backlog, 2);
  await server.start();
  await until("both are delivered", async () => (await ask("backlog")).backlog === 0);
  assert.deepEqual((await server.client.lrange("bull:orders:wait", 0, -1)).sort(), ["j1", "j2"]);
  assert.equal((await ask("close")).status, 200);
  assert.deepEqual(readdirSync(dir), []);
});

test("an intake that nobody closes leaves no folder, and neither does one that is closed while it restarts", async (t) => {
  const dir = folders(t);
  const made = [];
  const drill = rig(t, made, { intake: true, keepMs: 300 });
  const open = (id) => drill.handle({ op: "open", id, url: "redis://127.0.0.1:1", queue: "orders", intake: true });
  const opening = open("a");
  await until("the folder is there", () => readdirSync(dir).length === 1);
  await until("it is gone", () => readdirSync(dir).length === 0);
  assert.equal((await opening).status, 200);
  void open("b");
  await until("the folder is there", () => readdirSync(dir).length === 1);
  const restart = drill.handle({ op: "restart", id: "b" });
  await drill.close();
  await restart;
  assert.deepEqual(readdirSync(dir), []);
  await until("all have ended", () => made.every((p) => p.client.status === "end"));
});

test("an intake that cannot be opened is an error, not a hang", async (t) => {
  const dir = folders(t);
  process.env.TMPDIR = join(dir, "missing");
  const made = [];
  const drill = rig(t, made, { intake: true });
  const { status, body } = await drill.handle({ op: "open", id: "a", url: "redis://127.0.0.1:1", queue: "orders", intake: true });
  assert.equal(status, 500);
  assert.match(body.error, /ENOENT/);
  await until("its producer has ended", () => made[0].client.status === "end");
});
