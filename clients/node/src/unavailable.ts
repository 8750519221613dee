import type { ServerResponse } from "node:http";

/** Answers 503 with Retry-After: the payment provider keeps the event and delivers it again. */
export function unavailable(res: ServerResponse, body: object = { error: "unavailable" }, retryAfterSeconds = 1): void {
  res.writeHead(503, { "Content-Type": "application/json", "Retry-After": String(retryAfterSeconds) });
  res.end(JSON.stringify(body));
}
