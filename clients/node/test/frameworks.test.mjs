// The pipeline in the web frameworks that teams have, each with real BullMQ on a real Redis: a webhook comes in, is run
// once and is in the journal, and the addresses of the contract are there beside the app's own.
import "reflect-metadata";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { serve } from "@hono/node-server";
import { NestFactory } from "@nestjs/core";
import { Module } from "@nestjs/common";
import { fastifyUnavailable, Pipeline, SqliteJournal, unavailable, UnavailableError } from "@switchyard/bullmq";
import express from "express";
import express4 from "express4";
import Fastify from "fastify";
import { Hono } from "hono";
import { directory, redis, until } from "./redis.mjs";

const ends = [];
const listening = async (server) => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port, close: () => server.close() };
};

// Each makes a server of an app with a webhook at /orders, and gives its port. Where the app parses bodies first, the
// pipeline has to do with that.
const frameworks = {
  "node:http": async (orders) => {
    const routes = orders.routes();
    const server = createServer((req, res) =>
      routes(req, res, async () => {
        if (req.url !== "/orders") return void res.writeHead(404).end("own 404");
        let text = "";
        for await (const chunk of req) text += chunk;
        try {
          await orders.enqueue(JSON.parse(text), { provider: "shop", response: res });
          res.end("ok");
        } catch {
          unavailable(res);
        }
      }),
    );
    return listening(server);
  },
  "Express 4": (orders) => onExpress(express4, orders, false),
  "Express 5": (orders) => onExpress(express, orders, false),
  "Express 5, behind its body parser": (orders) => onExpress(express, orders, true),
  Fastify: async (orders) => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(orders.fastify());
    app.setErrorHandler(fastifyUnavailable);
    app.post("/orders", async (request, reply) => {
      await orders.enqueue(request.body, { provider: "shop", response: reply.raw });
      return "ok";
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    return { port: app.server.address().port, close: () => app.close() };
  },
  Hono: async (orders) => {
    const app = new Hono();
    const routes = orders.fetch();
    app.use((c, next) => routes(c.req.raw) ?? next());
    app.post("/orders", async (c) => {
      await orders.enqueue(await c.req.json(), { provider: "shop", response: c.env.outgoing });
      return c.text("ok");
    });
    app.onError((err, c) => (err instanceof UnavailableError ? c.json({}, 503, { "Retry-After": "1" }) : c.text("", 500)));
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    await once(server, "listening");
    return { port: server.address().port, close: () => server.close() };
  },
  Nest: async (orders) => {
    class Shop {}
    Module({ imports: [orders.nest({ worker: true })] })(Shop);
    const app = await NestFactory.create(Shop, { logger: false });
    app.use("/orders", async (req, res) => {
      try {
        // Here its parser is in front only of what is behind it.
        await orders.enqueue(req.body ?? JSON.parse(await text(req)), { provider: "shop", response: res });
        res.end("ok");
      } catch {
        unavailable(res);
      }
    });
    await app.listen(0, "127.0.0.1");
    return { port: app.getHttpServer().address().port, close: () => app.close() };
  },
};

async function onExpress(make, orders, parsedFirst) {
  const app = make();
  if (parsedFirst) app.use(make.json());
  app.use(orders.routes());
  if (!parsedFirst) app.use(make.json());
  app.post("/orders", (req, res) => {
    orders.enqueue(req.body, { provider: "shop", response: res }).then(() => res.send("ok"), () => unavailable(res));
  });
  return listening(createServer(app));
}

async function text(req) {
  let all = "";
  for await (const chunk of req) all += chunk;
  return all;
}

describe("frameworks", { concurrency: 3 }, () => {
  let server;
  before(async () => (server = await redis({ after: (end) => ends.unshift(end) })));
  after(async () => {
    for (const end of ends) await end();
  });

  let queues = 0;
  for (const [name, start] of Object.entries(frameworks)) {
    test(`${name}: an order is taken in, run once and journaled, and the contract is served beside it`, async (t) => {
      const dir = directory();
      const ran = [];
      const orders = new Pipeline({
        queue: `orders-${++queues}`,
        redis: { standalone: { url: server.url } },
        switchyard: { url: "http://127.0.0.1:1", token: "none" },
        token: "secret",
        dataDir: dir,
        instance: "web.1",
        journal: new SqliteJournal(dir),
        process: async (order) => void ran.push(order),
        replay: (provider, body) => ({ id: `${provider}:${JSON.parse(body).id}` }),
        log: () => undefined,
      });
      if (name !== "Nest") {
        await orders.start();
        await orders.worker();
      }
      const app = await start(orders);
      let open = true;
      const close = async () => {
        if (!open) return;
        open = false;
        if (name !== "Nest") await orders.close();
        await app.close();
      };
      t.after(close);
      const base = `http://127.0.0.1:${app.port}`;
      const ask = async (path, { body, token = "secret", method = body === undefined ? "GET" : "POST" } = {}) => {
        const headers = { ...(token && { Authorization: `Bearer ${token}` }), "Content-Type": "application/json" };
        const res = await fetch(base + path, { method, body, headers });
        const text = await res.text();
        return { status: res.status, retry: res.headers.get("retry-after"), body: text.startsWith("{") ? JSON.parse(text) : text };
      };
      const journal = async () => (await ask("/switchyard/journal?after=0")).body.events;

      const order = { id: "ord_1", amount: 5 };
      assert.deepEqual(await ask("/orders", { body: JSON.stringify(order) }), { status: 200, retry: null, body: "ok" });
      await until("it ran", () => ran.length === 1);
      assert.deepEqual(ran, [order]);
      await until("it is journaled", async () => (await journal()).some((e) => e.type === "executed"));
      const told = Object.fromEntries((await journal()).map((e) => [e.type, e]));
      assert.deepEqual([told.delivery.status, told.delivery.provider, told.delivery.order], [200, "shop", "ord_1"]);
      assert.deepEqual([told.enqueued.ok, told.executed.outcome], [true, "applied"]);

      assert.equal((await ask("/healthz", { token: "" })).status, 200);
      assert.equal((await ask("/readyz", { token: "" })).status, 200);
      assert.equal((await ask("/switchyard/journal", { token: "other" })).status, 401);
      assert.equal((await ask("/switchyard/nothing")).status, 404);
      assert.equal((await ask("/elsewhere")).status, 404);
      const canary = await ask("/switchyard/canary", { body: '{"id":"canary_1"}' });
      assert.deepEqual([canary.status, canary.body.side], [200, "source"]);
      assert.equal((await ask("/switchyard/canary", { body: "no JSON" })).status, 400);
      assert.equal((await ask("/switchyard/replay?provider=stripe", { body: '{"id":"ord_2"}' })).status, 200);
      assert.equal((await ask("/switchyard/drill", { body: '{"op":"close","id":"x"}' })).status, 200);
      await until("the replay ran", () => ran.length === 2);
      assert.equal(ran[1].id, "stripe:ord_2");
      assert.equal((await ask("/switchyard/replay", { body: `"${"x".repeat(1 << 20)}"` })).status, 413);

      await close();
      await assert.rejects(orders.enqueue({ id: "late" }), UnavailableError);
    });
  }
});
