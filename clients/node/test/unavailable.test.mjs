import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { describe, test } from "node:test";
import express from "express";
import fastify from "fastify";
import { boundedAdd, expressUnavailable, fastifyUnavailable, httpUnavailable, Producer, producerOptions, UnavailableError } from "@switchyard/bullmq";
import { freePort } from "./redis.mjs";

// A producer whose Redis is not there: what the handlers do is what an outage does.
async function enqueue(t) {
  const port = await freePort();
  const p = new Producer({ queue: "orders", connection: producerOptions({ url: `redis://127.0.0.1:${port}` }, { service: "test", queue: "orders", side: "source" }) });
  t.after(() => p.close());
  return () => boundedAdd(p, { name: "order", data: {}, opts: { jobId: "evt_1" } });
}

async function post(port, path) {
  const req = request({ port, host: "127.0.0.1", path, method: "POST" }).end("{}");
  const [res] = await once(req, "response");
  let body = "";
  for await (const part of res) body += part;
  return { status: res.statusCode, after: res.headers["retry-after"], body };
}

async function listen(t, server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return server.address().port;
}

const refused = { status: 503, after: "1", body: '{"error":"unavailable"}' };

describe("an outage is answered with 503 and Retry-After", { concurrency: 3 }, () => {
  test("by node:http; other errors with 500", async (t) => {
    const add = await enqueue(t);
    const seen = [];
    const handler = httpUnavailable(async (req) => {
      if (req.url === "/bug") throw new Error("bug");
      await add();
    }, (err) => seen.push(err.message));
    const port = await listen(t, createServer(handler));
    assert.deepEqual(await post(port, "/"), refused);
    assert.equal((await post(port, "/bug")).status, 500);
    assert.deepEqual(seen, ["bug"]);
  });

  test("by Express; other errors are Express's", async (t) => {
    const add = await enqueue(t);
    const app = express();
    app.set("env", "test");
    app.post("/", async (_req, res) => {
      await add();
      res.send("ok");
    });
    app.post("/bug", () => {
      throw Object.assign(new Error("bug"), { status: 418 });
    });
    app.use(expressUnavailable);
    const port = await listen(t, createServer(app));
    assert.deepEqual(await post(port, "/"), refused);
    assert.equal((await post(port, "/bug")).status, 418);
  });

  test("by Fastify; other errors are Fastify's", async (t) => {
    const add = await enqueue(t);
    const app = fastify();
    app.addContentTypeParser("*", (_req, _payload, done) => done(null));
    app.setErrorHandler(fastifyUnavailable);
    app.post("/", async () => {
      await add();
      return "ok";
    });
    app.post("/bug", async () => {
      throw Object.assign(new Error("bug"), { statusCode: 418 });
    });
    t.after(() => app.close());
    await app.listen({ port: 0, host: "127.0.0.1" });
    const { port } = app.server.address();
    assert.deepEqual(await post(port, "/"), refused);
    assert.equal((await post(port, "/bug")).status, 418);
  });
});

test("an answer that has begun is broken off, never completed", async (t) => {
  const port = await listen(t, createServer(httpUnavailable(async (_req, res) => {
    res.writeHead(200);
    res.write("half");
    throw new UnavailableError("late");
  })));
  await assert.rejects(post(port, "/"));
});
