import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fromEnvironment, Pipeline, RefusedError, unavailable } from "@switchyard/bullmq";
import { journal, webhookSecrets } from "./config.js";
import { jobId, resultOf, type Order } from "./order.js";
import { providerIds, providers, type ProviderId } from "./providers.js";
import { Sink } from "./sink.js";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
const maxBody = 1 << 20;

/** What a test may make otherwise. */
export interface Options {
  /** Unix ms, against which the times in signatures are held. */
  now?: () => number;
}

/** Serves and works until SIGTERM or SIGINT, then lets work in progress finish. */
async function run(env: NodeJS.ProcessEnv, { now = Date.now }: Options): Promise<void> {
  const stop = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  const secrets = webhookSecrets(env);
  const deployment = fromEnvironment(env);
  const sink = new Sink(env["SINK_DIR"] || `${deployment.dataDir}/orders`);
  const orders = new Pipeline<Order>({
    ...deployment,
    service: env["SERVICE"] || "ingestion",
    version,
    queue: env["QUEUE"] || "order-ingestion",
    journal: journal(env, deployment.dataDir, log),
    jobId,
    job: (order) => ({ delay: order.switchyard_delay_ms ?? 0 }),
    result: async (order, { attempt }) => {
      await sleep(2 + (order.amount % 4)); // the work: a call to the shop
      if (attempt <= (order.switchyard_fail_times ?? 0)) throw new Error(`transient failure ${attempt}`);
      return resultOf(order);
    },
    process: async (order) => sink.apply(order),
    effects: async (order) => sink.times(order),
    replay: (id, body) => {
      const provider = providers[id as ProviderId];
      if (!provider) throw new Error(`the provider is not one of ${providerIds.join(", ")}`);
      if (!secrets[provider.id]) throw new RefusedError(`this app takes nothing from ${id}: it has no secret of it`);
      return provider.order(body, {});
    },
    log,
  });

  // Without a secret nothing can be told from what anybody sends, so there is no such address.
  async function webhook(id: ProviderId, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await read(req);
    if (!body) return void answer(res, 413, { error: "the body is too large" });
    if (!providers[id].verify(req.headersDistinct, body, secrets[id]!, now())) return void answer(res, 400, { error: "the signature does not match" });
    let order: Order;
    try {
      order = providers[id].order(body, req.headersDistinct);
    } catch (err) {
      const error = (err as Error).message;
      orders.record({ type: "delivery", order: "", event: "", provider: id, status: 400, ms: 0, error, canary: false });
      return void answer(res, 400, { error });
    }
    try {
      await orders.enqueue(order, { provider: id, event: order.event, response: res });
      providers[id].reply(res);
    } catch {
      unavailable(res);
    }
  }

  await orders.start();
  await orders.worker();
  const routes = orders.routes();
  const http = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (req, res) => {
    routes(req, res, () => {
      const id = providerIds.find((p) => secrets[p] && req.method === "POST" && req.url?.split("?")[0] === `/webhooks/${p}`);
      if (!id) return void answer(res, 404, { error: "not found" });
      webhook(id, req, res).catch(() => res.destroy());
    });
  });
  http.listen(Number(env["PORT"] || 0), env["HOST"] || "127.0.0.1");
  await once(http, "listening");
  log("listening", { port: (http.address() as AddressInfo).port, instance: orders.instance });

  log("stopping", { signal: await stop });
  await orders.close();
  http.close();
  http.closeAllConnections();
  log("stopped");
}

/** Runs as a program: ends the process when it is done, with 1 when it could not. */
export async function start(env: NodeJS.ProcessEnv, options: Options = {}): Promise<never> {
  try {
    await run(env, options);
    // Connections to a server that is gone may still hold timers.
    process.exit(0);
  } catch (err) {
    log("failed", { error: (err as Error).message });
    process.exit(1);
  }
}

async function read(req: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    if ((size += chunk.length) > maxBody) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answer(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

/** Writes one JSON line to stdout. */
function log(event: string, detail: Record<string, unknown> = {}): void {
  process.stdout.write(JSON.stringify({ event, at: new Date().toISOString(), ...detail }) + "\n");
}
