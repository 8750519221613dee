import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { CONTRACT } from "./attestation.js";
import type { Drill } from "./drill.js";
import type { Recorder } from "./recorder.js";

/** For node:http (without `next`), Express, Connect and Nest. */
export type Middleware = (
  req: IncomingMessage & { body?: unknown; rawBody?: unknown; originalUrl?: string },
  res: ServerResponse,
  next?: (err?: unknown) => void,
) => void;

/** For servers of the Fetch API; undefined: the address is not one of these. */
export type FetchHandler = (request: Request) => Promise<Response> | undefined;

/** What of a Fastify instance is needed here. */
interface Fastify {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(type: string, options: { parseAs: "buffer" }, parse: Parser): void;
  all(path: string, handler: (request: FastifyRequest, reply: FastifyReply) => unknown): void;
}
type Parser = (r: unknown, body: Buffer, done: (err: Error | null, body?: unknown) => void) => void;
interface FastifyRequest {
  method: string;
  url: string;
  headers: { authorization?: string | undefined };
  body: unknown;
}
interface FastifyReply {
  code(status: number): FastifyReply;
  headers(values: Record<string, string>): FastifyReply;
  send(body: unknown): unknown;
}

interface Asked {
  method: string;
  url: string;
  authorization: string | undefined;
  body: () => Promise<Buffer>;
}

interface Answer {
  status: number;
  body: object;
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

export interface RoutesConfig {
  token: string;
  instance: string;
  recorder: Recorder | undefined;
  drill: Drill;
  canary: (id: string, queue: unknown) => Promise<Answer>;
  replay: (provider: string, body: Buffer) => Promise<Answer>;
  ready: () => { ok: boolean };
  stopping: () => boolean;
  log: (event: string, detail: Record<string, unknown>) => void;
}

const maxBody = 1 << 20;
const maxPage = 5000;
const journalPath = "GET /switchyard/journal";

type Handler = (asked: Asked, query: URLSearchParams) => Promise<Answer> | Answer;

/** The addresses that Switchyard asks an app at: docs/contract.md. */
export class Routes {
  readonly #config: RoutesConfig;
  readonly #handlers: Record<string, Handler>;

  constructor(config: RoutesConfig) {
    this.#config = config;
    this.#handlers = {
      [journalPath]: (_, query) => this.#journal(query),
      "POST /switchyard/canary": (asked) => this.#canary(asked),
      "POST /switchyard/replay": async (asked, query) =>
        config.replay(query.get("provider") ?? "stripe", await asked.body()),
      "POST /switchyard/drill": (asked) => this.#drill(asked),
      "GET /healthz": () => ({ status: 200, body: { status: "ok" } }),
      "GET /readyz": () => {
        const ready = config.ready();
        const status = ready.ok ? "ready" : "not ready";
        return { status: ready.ok ? 200 : 503, body: { ...ready, status } };
      },
    };
  }

  /** Every address that there is. */
  paths(): string[] {
    return Object.keys(this.#handlers).map((key) => key.split(" ")[1]!);
  }

  middleware(): Middleware {
    return (req, res, next) => {
      const asked: Asked = {
        method: req.method ?? "GET",
        url: req.originalUrl ?? req.url ?? "/",
        authorization: req.headers.authorization,
        body: () => nodeBody(req),
      };
      const answer = this.#answer(asked);
      if (!answer && next) return next();
      void (answer ?? Promise.resolve(notFound)).then(({ status, body }) => {
        if (res.headersSent || res.destroyed) return void res.destroy();
        res.writeHead(status, headersOf(status)).end(JSON.stringify(body));
      });
    };
  }

  fetch(): FetchHandler {
    return (request) => {
      const { method, url, headers } = request;
      const answer = this.#answer({
        method,
        url: new URL(url).pathname + new URL(url).search,
        authorization: headers.get("authorization") ?? undefined,
        body: async () => bounded(Buffer.from(await request.arrayBuffer())),
      });
      return answer?.then(
        ({ status, body }) =>
          new Response(JSON.stringify(body), { status, headers: headersOf(status) }),
      );
    };
  }

  fastify(): (app: Fastify) => Promise<void> {
    return async (app) => {
      // In this plugin's own scope: bodies as they came.
      app.removeAllContentTypeParsers();
      app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
      const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
        const { method, url, headers, body } = request;
        const { status, body: answer } =
          (await this.#answer({
            method,
            url,
            authorization: headers.authorization,
            body: async () => bounded(bytes(body)),
          })) ?? notFound;
        return reply.code(status).headers(headersOf(status)).send(answer);
      };
      for (const path of [...this.paths(), "/switchyard/*"]) app.all(path, handle);
    };
  }

  // Undefined where the address is none of these; never fails.
  #answer(asked: Asked): Promise<Answer> | undefined {
    const url = new URL(asked.url, "http://app");
    const key = `${asked.method} ${url.pathname}`;
    const handle = this.#handlers[key];
    if (!handle && !url.pathname.startsWith("/switchyard/")) return undefined;
    return (async () => {
      try {
        if (url.pathname.startsWith("/switchyard/")) this.#authorize(asked.authorization);
        if (!handle) return notFound;
        if (this.#config.stopping() && key !== journalPath) return stopping;
        return await handle(asked, url.searchParams);
      } catch (err) {
        const status = statusOf(err);
        if (status === 500) this.#config.log("request-failed", { error: (err as Error).message });
        return {
          status,
          body: { error: status === 500 ? "internal error" : (err as Error).message },
        };
      }
    })();
  }

  async #canary(asked: Asked): Promise<Answer> {
    const { id, queue } = ((await json(asked)) ?? {}) as { id?: unknown; queue?: unknown };
    if (typeof id !== "string" || !/^[A-Za-z0-9_.-]{1,128}$/.test(id)) {
      throw new Refusal(400, "id is not an identifier");
    }
    return this.#config.canary(id, queue);
  }

  // Adds of a drill go to a server of the drill's: no order, and nothing in the journal.
  async #drill(asked: Asked): Promise<Answer> {
    const { status, body } = await this.#config.drill.handle(await json(asked));
    return { status, body };
  }

  async #journal(query: URLSearchParams): Promise<Answer> {
    const { recorder, instance } = this.#config;
    if (!recorder) throw new Refusal(404, "this app keeps no journal");
    const number = (name: string, fallback: number): number => {
      const text = query.get(name) ?? String(fallback);
      if (!/^\d{1,15}$/.test(text)) throw new Refusal(400, `${name} is not a whole number`);
      return Number(text);
    };
    // Who follows several journals at one address cannot know which instance answers, and names
    // each with how far it has it.
    const cursors = query.getAll("cursor");
    const own = cursors.find((cursor) => cursor.startsWith(`${recorder.epoch}:`));
    const named = Number(own?.slice(recorder.epoch.length + 1) ?? 0);
    const after = cursors.length === 0 ? number("after", 0) : named;
    if (!Number.isSafeInteger(after) || after < 0) {
      throw new Refusal(400, "cursor is not <epoch>:<whole number>");
    }
    const limit = Math.min(Math.max(number("limit", 1000), 1), maxPage);
    const page = await recorder.page(after, limit);
    return { status: 200, body: { contract: CONTRACT, ...page, instance, now: Date.now() } };
  }

  #authorize(header: string | undefined): void {
    const [, token] = /^Bearer (.+)$/.exec(header ?? "") ?? [];
    if (!token || !sameSecret(token, this.#config.token)) {
      throw new Refusal(401, "a bearer token is required");
    }
  }
}

const notFound: Answer = { status: 404, body: { error: "not found" } };
const stopping: Answer = { status: 503, body: { error: "this instance is stopping" } };

function headersOf(status: number): Record<string, string> {
  return { "Content-Type": "application/json", ...(status === 503 && { "Retry-After": "1" }) };
}

function statusOf(err: unknown): number {
  if (err instanceof Refusal) return err.status;
  return (err as Error).name === "UnavailableError" ? 503 : 500;
}

async function json(asked: Asked): Promise<unknown> {
  try {
    return JSON.parse((await asked.body()).toString("utf8"));
  } catch (err) {
    throw err instanceof Refusal ? err : new Refusal(400, "the body is not JSON");
  }
}

/** The raw body, also where a parser was there before: as it came if it kept that. */
async function nodeBody(
  req: IncomingMessage & { body?: unknown; rawBody?: unknown },
): Promise<Buffer> {
  if (Buffer.isBuffer(req.rawBody)) return bounded(req.rawBody);
  if (req.readableEnded) return bounded(bytes(req.body));
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) throw new Refusal(413, "the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function bytes(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === "string" ? body : (JSON.stringify(body) ?? ""));
}

function bounded(body: Buffer): Buffer {
  if (body.length > maxBody) throw new Refusal(413, "the body is too large");
  return body;
}

// Without telling how much of the two agrees.
function sameSecret(a: string, b: string): boolean {
  const digest = (s: string): Buffer => createHmac("sha256", "compare").update(s).digest();
  return timingSafeEqual(digest(a), digest(b));
}
