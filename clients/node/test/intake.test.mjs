import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import express from "express";
import { boundedAdd, DurableIntake, IntakeFullError, Producer, producerOptions, UnavailableError } from "@switchyard/bullmq";
import { directory, freePort, kill, redis, run, until } from "./redis.mjs";

const purpose = { service: "test", queue: "orders", side: "source" };
const down = async () => {
  throw new UnavailableError("redis is down");
};
const event = (id, body = `{"id":"${id}"}`) => ({ id, body });

async function intake(t, dir, deliver, more = {}) {
  const i = new DurableIntake({ dir, deliver, retryMs: 10, ...more });
  t.after(() => i.close());
  await i.start();
  return i;
}

function producer(t, port) {
  const p = new Producer({ queue: "orders", connection: producerOptions({ url: `redis://127.0.0.1:${port}` }, purpose) });
  t.after(() => p.close());
  return (e) => boundedAdd(p, { name: "order", data: JSON.parse(e.body.toString()), opts: { jobId: e.id } });
}

const logs = (dir) => readdirSync(dir).filter((f) => f.endsWith(".log"));
const biggest = (dir) => logs(dir).map((f) => join(dir, f)).sort((a, b) => statSync(b).size - statSync(a).size)[0];

describe("durable intake", { concurrency: 4 }, () => {
  test("events are acknowledged while redis is down, and enqueued once when it is there", async (t) => {
    const port = await freePort();
    const i = await intake(t, directory(), producer(t, port));
    await Promise.all(Array.from({ length: 200 }, (_, n) => i.accept(event(`evt_${n}`))));
    await i.accept(event("evt_0")); // delivered again by the provider meanwhile
    assert.equal(i.report().backlog, 200);
    assert.ok(i.report().oldestMs >= 0);
    assert.match(i.metrics(), /switchyard_intake_backlog 200\n/);
    const server = await redis(t, { port });
    await until("all are enqueued", () => i.report().backlog === 0);
    assert.equal(await server.client.llen("bull:orders:wait"), 200);
    assert.equal(i.report().delivered, 200);
  });

  test("killed between the write and the enqueue, every acknowledged event is enqueued by the next process", async (t) => {
    const dir = directory();
    const child = run(process.execPath, [join(import.meta.dirname, "intake-process.mjs"), dir]);
    const acknowledged = [];
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 400) child.kill("SIGKILL");
    }
    await kill(child);
    const server = await redis(t);
    const seen = new Map();
    const add = producer(t, server.port);
    const i = await intake(t, dir, async (e) => {
      await add(e);
      assert.equal(e.meta.provider, "stripe");
      seen.set(e.id, e.body.toString());
    });
    await until("the backlog is gone", () => i.report().backlog === 0);
    assert.deepEqual(acknowledged.filter((id) => seen.get(id) !== JSON.stringify({ id })), []);
    assert.equal(await server.client.llen("bull:orders:wait"), seen.size);
    await until("nothing is left on disk", () => logs(dir).length === 1 && i.report().bytes === 0);
  });

  test("killed after the enqueue and before its mark, the job id keeps it one job", async (t) => {
    const server = await redis(t);
    const dir = directory();
    const add = producer(t, server.port);
    const first = await intake(t, dir, async (e) => {
      await add(e);
      throw new UnavailableError("killed here");
    });
    await first.accept(event("evt_1"));
    await until("it is enqueued", async () => (await server.client.llen("bull:orders:wait")) === 1);
    await first.close();
    const second = await intake(t, dir, add);
    await until("it is delivered again", () => second.report().delivered === 1);
    assert.equal(await server.client.llen("bull:orders:wait"), 1);
  });

  test("a torn last line is dropped, whatever is before it is kept", async (t) => {
    const dir = directory();
    const first = await intake(t, dir, down);
    for (const id of ["a", "b", "c"]) await first.accept(event(id));
    await first.close();
    const file = biggest(dir);
    const whole = readFileSync(file);
    const ends = [...whole.entries()].filter(([, c]) => c === 10).map(([at]) => at);
    for (let cut = ends[1] + 1; cut < whole.length; cut++) {
      writeFileSync(file, whole.subarray(0, cut));
      const i = new DurableIntake({ dir, deliver: down });
      await i.start();
      assert.deepEqual([i.report().backlog, i.report().damaged], [2, 0], `cut at ${cut}`);
      await i.close();
    }
  });

  test("damage in the middle is told, its file is kept, and the rest is delivered", async (t) => {
    const dir = directory();
    const first = await intake(t, dir, down);
    for (const id of ["a", "b", "c"]) await first.accept(event(id));
    await first.close();
    const file = biggest(dir);
    const bytes = readFileSync(file);
    bytes[bytes.indexOf(10) + 20] ^= 1;
    writeFileSync(file, bytes);
    const got = [];
    const i = await intake(t, dir, async (e) => void got.push(e.id));
    await until("two are delivered", () => got.length === 2);
    assert.deepEqual([got.sort(), i.report().damaged], [["a", "c"], 1]);
    assert.ok(readFileSync(file).equals(bytes));
  });

  test("what does not fit is refused, and fits again once delivered", async (t) => {
    const dir = directory();
    let up = false;
    const i = await intake(t, dir, async () => (up ? undefined : down()), { maxBytes: 20_000 });
    const body = "x".repeat(500);
    let accepted = 0;
    await assert.rejects(async () => {
      for (;; accepted++) await i.accept(event(`evt_${accepted}`, body));
    }, IntakeFullError);
    assert.ok(accepted > 10 && i.report().bytes <= 20_000 && i.report().refused === 1);
    up = true;
    await until("there is room", () => i.report().backlog === 0 && i.report().bytes < 5000);
    for (let n = 0; n < 200; n++) await until("it fits", () => i.accept(event(`more_${n}`, body)).then(() => true));
    await until("all are delivered", () => i.report().delivered === accepted + 200);
    assert.ok(i.report().bytes <= 20_000);
  });

  test("a disk that fails refuses, and is used again when it works", async (t) => {
    const dir = join(directory(), "intake");
    const i = await intake(t, dir, down, { maxBytes: 40_000, segmentBytes: 1000 });
    await i.accept(event("a", "x".repeat(2000))); // the next one needs a new file
    rmSync(dir, { recursive: true });
    await assert.rejects(i.accept(event("b")), UnavailableError);
    mkdirSync(dir);
    await i.accept(event("b"));
    assert.equal(i.report().refused, 1);
  });

  test("one event that cannot be delivered does not hold up the others", async (t) => {
    const i = await intake(t, directory(), async (e) => {
      if (e.id.startsWith("bad")) throw new TypeError("no such product");
    }, { concurrency: 2 });
    for (const id of ["bad1", "bad2", "bad3", "good1", "good2"]) await i.accept(event(id));
    await until("the good ones are delivered", () => i.report().delivered === 2);
    assert.deepEqual([i.report().backlog, i.report().lastError], [3, "no such product"]);
  });

  test("a folder belongs to one living process", async (t) => {
    const dir = directory();
    const i = await intake(t, dir, down);
    await i.close();
    writeFileSync(join(dir, "lock"), String(process.ppid));
    await assert.rejects(new DurableIntake({ dir, deliver: down }).start(), /in use by process/);
    writeFileSync(join(dir, "lock"), "999999999");
    await intake(t, dir, down);
  });

  test("after the close nothing is taken and nothing is touched", async (t) => {
    const dir = directory();
    let finish;
    const i = await intake(t, dir, () => new Promise((resolve) => (finish = resolve)));
    await i.accept(event("a"));
    await i.close(20);
    await assert.rejects(i.accept(event("b")), IntakeFullError);
    const before = readdirSync(dir);
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(readdirSync(dir), before);
    assert.ok(before.every((f) => f !== "lock"));
  });

  test("close waits for what is under way", async (t) => {
    const i = await intake(t, directory(), async () => new Promise((resolve) => setTimeout(resolve, 20)));
    await Promise.all(["a", "b", "c"].map((id) => i.accept(event(id))));
    await i.close(5000);
    assert.equal(i.report().delivered, 3);
  });

  for (const [name, serve] of [
    ["node:http", (handler) => createServer(handler)],
    ["Express with its raw body", (handler) => createServer(express().use(express.raw({ type: "*/*" })).post("/", handler))],
    ["Express without it", (handler) => createServer(express().post("/", handler))],
  ]) {
    test(`the request handler under ${name}`, async (t) => {
      let up = true;
      const got = [];
      const i = await intake(t, directory(), async (e) => (up ? void got.push(e.body.toString()) : down()), { maxBytes: 4000 });
      const handler = i.handler((req, body) => {
        if (req.headers["x-signature"] !== "right") throw new Error("signature");
        return { id: JSON.parse(body.toString()).id };
      }, { maxBodyBytes: 1000 });
      const server = serve(handler).listen(0, "127.0.0.1");
      await once(server, "listening");
      t.after(() => server.close());
      const post = async (body, signature = "right") => {
        const res = await fetch(`http://127.0.0.1:${server.address().port}/`, { method: "POST", body, headers: { "x-signature": signature } });
        return [res.status, res.headers.get("retry-after"), await res.text()];
      };
      assert.deepEqual(await post('{ "id":"a" }'), [200, null, "OK"]);
      await until("the raw body is delivered", () => got[0] === '{ "id":"a" }');
      assert.equal((await post('{"id":"b"}', "wrong"))[0], 400);
      if (name === "node:http") assert.equal((await post("x".repeat(2000)))[0], 413);
      up = false;
      let answer;
      for (let n = 0; n < 20; n++) answer = await post(JSON.stringify({ id: `full_${n}`, pad: "x".repeat(300) }));
      assert.deepEqual(answer, [503, "1", '{"error":"unavailable"}']);
    });
  }
});
