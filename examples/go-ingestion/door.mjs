// The door to BullMQ of an app that is not written for Node. It adds the orders that the app hands
// it, has the app carry each out, and keeps the journal: POST /orders, /switchyard/*, /healthz.
import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import * as kit from "@switchyard/bullmq";

const { env } = process;
if (!env.APP_URL || !env.DOOR_TOKEN) throw new Error("APP_URL or DOOR_TOKEN is not set");
const authorization = `Bearer ${env.DOOR_TOKEN}`;
const deployment = kit.fromEnvironment(env);

async function apply(order) {
  const [body, signal] = [JSON.stringify(order), AbortSignal.timeout(10_000)];
  const asked = { method: "POST", headers: { authorization }, body, signal };
  const res = await fetch(`${env.APP_URL}/apply`, asked);
  if (!res.ok) throw new Error(`the app answers ${res.status}`); // the job is tried again
}

const orders = new kit.Pipeline({
  ...deployment,
  queue: env.QUEUE ?? "orders",
  version: env.VERSION ?? "", // of the app: what a deploy of it changes is another build
  journal: new kit.SqliteJournal(deployment.dataDir),
  jobId: ({ provider, event }) => `${provider}_${event}`, // of a second delivery the same
  effects: "once", // the app's word: /apply carries out an order of one id once
  process: apply,
});

function allowed(req) {
  const [given, wanted] = [req.headers.authorization ?? "", authorization].map(Buffer.from);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

async function take(req, res) {
  const order = await json(req);
  await orders.enqueue(order, { provider: order.provider, event: order.event, response: res });
  res.writeHead(200).end("{}");
}

const routes = orders.routes();
const server = createServer((req, res) =>
  routes(req, res, () => {
    if (req.method !== "POST" || req.url !== "/orders") return res.writeHead(404).end();
    if (!allowed(req)) return res.writeHead(401).end();
    take(req, res).catch((err) => {
      if (err instanceof kit.UnavailableError) kit.unavailable(res); // the provider delivers again
      else res.writeHead(400).end();
    });
  }),
);
await orders.start();
await orders.worker();
server.listen(Number(env.DOOR_PORT ?? 3001), "127.0.0.1");
await once(server, "listening");
console.log(JSON.stringify({ event: "listening", port: server.address().port }));
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await orders.close();
process.exit(0);
