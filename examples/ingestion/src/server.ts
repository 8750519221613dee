import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { unavailable, type Drill, type DurableIntake, type Router } from "@switchyard/bullmq";
import type { Config } from "./config.js";
import type { Intake } from "./intake.js";
import type { Journal } from "./journal.js";
import { log } from "./log.js";
import { canaryOrder, jobId, type Order } from "./order.js";
import { providerIds, providers, type Provider } from "./providers.js";
import type { Sides } from "./sides.js";

const maxBody = 1 << 20;
const maxPage = 5000;

export interface Parts {
  config: Config;
  router: Router;
  sides: Sides;
  intake: Intake;
  durable: DurableIntake | undefined;
  journal: Journal;
  drill: Drill;
  /** Whether the process is about to end: then the journal alone is still served, to its end. */
  stopping: () => boolean;
  /** Unix ms, against which the times in signatures are held. */
  now: () => number;
}

/** A refusal with its status; everything else that is thrown is a 500. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** The HTTP server: webhooks in, evidence out. */
export function server(parts: Parts): Server {
  const routes: Record<string, (req: IncomingMessage, res: ServerResponse, url: URL) => Promise<void> | void> = {
    "POST /switchyard/canary": (req, res) => canary(parts, req, res),
    "POST /switchyard/replay": (req, res, url) => replay(parts, req, res, url),
    "POST /switchyard/drill": (req, res) => drill(parts, req, res),
    "GET /switchyard/journal": (req, res, url) => journal(parts, req, res, url),
    "GET /healthz": (_, res) => json(res, 200, { status: "ok" }),
    "GET /readyz": (_, res) => ready(parts, res),
  };
  for (const id of providerIds) {
    // Without a secret nothing can be told from what anybody sends, so there is no such address.
    const secrets = parts.config.webhookSecrets[id];
    if (secrets) routes[`POST /webhooks/${id}`] = (req, res) => webhook(parts, providers[id], secrets, req, res);
  }
  return createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (req, res) => {
    void (async () => {
      try {
        const url = new URL(req.url ?? "/", "http://ingestion");
        const handle = routes[`${req.method} ${url.pathname}`];
        if (!handle) throw new Refusal(404, "not found");
        if (parts.stopping() && handle !== routes["GET /switchyard/journal"]) return unavailable(res);
        await handle(req, res, url);
      } catch (err) {
        const status = err instanceof Refusal ? err.status : 500;
        if (status === 500) log("request-failed", { error: (err as Error).message });
        if (!res.headersSent) json(res, status, { error: status === 500 ? "internal error" : (err as Error).message });
        else res.destroy();
      }
    })();
  });
}

async function webhook(parts: Parts, provider: Provider, secrets: readonly string[], req: IncomingMessage, res: ServerResponse): Promise<void> {
  const start = performance.now();
  const body = await read(req);
  if (!provider.verify(req.headersDistinct, body, secrets, parts.now())) throw new Refusal(400, "the signature does not match");
  let order: Order;
  try {
    order = provider.order(body, req.headersDistinct);
  } catch (err) {
    const error = (err as Error).message;
    parts.journal.record({ type: "delivery", order: "", event: "", provider: provider.id, status: 400, ms: since(start), error, canary: false });
    throw new Refusal(400, error);
  }
  const error = await take(parts, order);
  if (error) unavailable(res);
  else provider.reply(res);
  delivered(parts.journal, order, start, error);
}

/** Journals a delivery as it was answered. */
function delivered(journal: Journal, order: Order, start: number, error: string | undefined): void {
  journal.record({ type: "delivery", order: order.id, event: order.event, provider: order.provider, status: error ? 503 : 200, ms: since(start), ...(error && { error }), canary: false });
}

// Why an order cannot be acknowledged; undefined when it can.
async function take({ intake, durable, journal }: Parts, order: Order): Promise<string | undefined> {
  if (!durable) return (await intake.accept(order)).error;
  try {
    await durable.accept({ id: jobId(order), body: JSON.stringify(order) });
  } catch (err) {
    return (err as Error).message;
  }
  journal.record({ type: "kept", order: order.id, event: order.event, provider: order.provider });
  return undefined;
}

async function canary({ config, intake, journal }: Parts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  authorize(config, req);
  const start = performance.now();
  let order: Order;
  let wanted: unknown;
  try {
    const body: unknown = JSON.parse((await read(req)).toString("utf8"));
    order = canaryOrder(body);
    wanted = (body as { queue?: unknown }).queue;
  } catch (err) {
    throw err instanceof Refusal ? err : new Refusal(400, (err as Error).message);
  }
  const { queue } = config;
  if (wanted !== undefined && wanted !== queue) throw new Refusal(422, `this app adds to ${queue}, not to ${String(wanted)}`);
  const { side, endpoint, error } = await intake.accept(order);
  const status = error ? 503 : 200;
  const answer = { status, ms: since(start), queue, side, endpoint, ...(error && { error }) };
  if (error) unavailable(res, answer);
  else json(res, 200, answer);
  journal.record({ type: "delivery", order: order.id, event: order.event, provider: order.provider, status, ms: answer.ms, ...(error && { error }), canary: true });
}

// What a provider gave up on, fetched through its API: the way of a webhook but for the signature and headers, which only a delivery has.
async function replay(parts: Parts, req: IncomingMessage, res: ServerResponse, url: URL): Promise<void> {
  authorize(parts.config, req);
  const start = performance.now();
  const id = url.searchParams.get("provider") ?? "stripe";
  const known = providerIds.find((p) => p === id);
  if (!known) throw new Refusal(400, `the provider is not one of ${providerIds.join(", ")}`);
  if (!parts.config.webhookSecrets[known]) throw new Refusal(422, `this app takes nothing from ${known}: it has no secret of it`);
  let order: Order;
  try {
    order = providers[known].order(await read(req), {});
  } catch (err) {
    throw err instanceof Refusal ? err : new Refusal(400, (err as Error).message);
  }
  // Whoever fetches again wants to know that it is enqueued, so the durable intake is not asked.
  const { error } = await parts.intake.accept(order);
  if (error) unavailable(res, { error });
  else json(res, 200, { received: true });
  delivered(parts.journal, order, start, error);
}

// Adds of a drill go to a server of the drill's: no order, and nothing in the journal.
async function drill({ config, drill }: Parts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  authorize(config, req);
  let request: unknown;
  try {
    request = JSON.parse((await read(req)).toString("utf8"));
  } catch (err) {
    throw err instanceof Refusal ? err : new Refusal(400, "the body is not JSON");
  }
  const { status, body } = await drill.handle(request);
  if (res.destroyed) return;
  if (status === 503) unavailable(res, body);
  else json(res, status, body);
}

function journal({ config, durable, journal }: Parts, req: IncomingMessage, res: ServerResponse, url: URL): void {
  authorize(config, req);
  const number = (name: string, fallback: number): number => {
    const text = url.searchParams.get(name) ?? String(fallback);
    if (!/^\d{1,15}$/.test(text)) throw new Refusal(400, `${name} is not a whole number`);
    return Number(text);
  };
  // The backlog first: what is no longer in it has its event in the page.
  const waiting = durable?.report();
  // Who follows several journals at one address cannot know which instance answers, and names each with how far it has it.
  const cursors = url.searchParams.getAll("cursor");
  const own = cursors.find((cursor) => cursor.startsWith(`${journal.epoch}:`));
  const after = cursors.length === 0 ? number("after", 0) : Number(own?.slice(journal.epoch.length + 1) ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) throw new Refusal(400, "cursor is not <epoch>:<whole number>");
  const page = journal.page(after, Math.min(Math.max(number("limit", 1000), 1), maxPage));
  json(res, 200, { ...page, instance: config.instance, now: Date.now(), ...(waiting && { intake: { backlog: waiting.backlog, oldestAt: waiting.oldestAt } }) });
}

// Ready means: an order that came now would be acknowledged, whichever side it belongs to.
function ready({ router, sides, durable, journal }: Parts, res: ServerResponse): void {
  const { snapshot } = router;
  const { stage, ramp } = snapshot;
  const source = stage === "rampdown" || stage === "complete" || (stage === "live" && ramp === 100) ? [] : (["source"] as const);
  const target = stage === "rampdown" || stage === "complete" || (stage === "live" && ramp > 0) ? (["target"] as const) : [];
  // With durable intake the disk decides, not the queue.
  const needed = durable ? [] : [...source, ...target];
  const missing = needed.filter((side) => {
    const lane = sides.lane(side, snapshot);
    return typeof lane === "string" || !lane.ready;
  });
  const ok = missing.length === 0 && journal.healthy;
  const body = { status: ok ? "ready" : "not ready", missing, journal: journal.healthy };
  if (ok) json(res, 200, body);
  else unavailable(res, body);
}

function authorize(config: Config, req: IncomingMessage): void {
  const [, token] = /^Bearer (.+)$/.exec(req.headers.authorization ?? "") ?? [];
  if (!token || !sameSecret(token, config.ingestionToken)) throw new Refusal(401, "a bearer token is required");
}

// Without telling how much of the two agrees.
function sameSecret(a: string, b: string): boolean {
  const digest = (s: string): Buffer => createHmac("sha256", "compare").update(s).digest();
  return timingSafeEqual(digest(a), digest(b));
}

async function read(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) throw new Refusal(413, "the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function json(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

function since(start: number): number {
  return Math.round(performance.now() - start);
}
