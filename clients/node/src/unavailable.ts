import type { IncomingMessage, ServerResponse } from "node:http";
import { UnavailableError } from "./producer.js";

/** Answers 503 with Retry-After: the payment provider keeps the event and delivers it again. */
export function unavailable(res: ServerResponse, body: object = { error: "unavailable" }, retryAfterSeconds = 1): void {
  res.writeHead(503, { "Content-Type": "application/json", "Retry-After": String(retryAfterSeconds) });
  res.end(JSON.stringify(body));
}

type Handler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** For plain `node:http`: a handler whose UnavailableError becomes the answer. Every other error goes to `onError`, and is answered with 500. */
export function httpUnavailable(handler: Handler, onError: (err: unknown) => void = () => undefined): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    handler(req, res).catch((err: unknown) => {
      const known = err instanceof UnavailableError;
      if (!known) onError(err);
      if (res.headersSent) res.destroy(); // too late for an answer: a broken one is delivered again, a half one may count as success
      else if (known) unavailable(res);
      else res.writeHead(500).end();
    });
  };
}

/** For Express (4 and 5): error middleware, after the routes. `app.use(expressUnavailable)`. In Express 4 pass the errors of promises to `next`. */
export function expressUnavailable(err: unknown, _req: unknown, res: ServerResponse, next: (err: unknown) => void): void {
  if (err instanceof UnavailableError && !res.headersSent) unavailable(res);
  else next(err);
}

/** What of a Fastify reply is needed here. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
  send(body: unknown): unknown;
}

/** For Fastify: `app.setErrorHandler(fastifyUnavailable)`. Other errors are Fastify's to answer. */
export function fastifyUnavailable(err: unknown, _req: unknown, reply: Reply): void {
  if (err instanceof UnavailableError) void reply.code(503).header("Retry-After", "1").send({ error: "unavailable" });
  else void reply.send(err);
}
