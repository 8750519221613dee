import { createHash } from "node:crypto";

/** Where the routing stamp is in a job's data. Switchyard may rewrite it on the way, so it is no part of what the business sent. */
const stamp = "_switchyard";

/**
 * Recognises what a job carries: 16 hex digits of the SHA-256 over its data as JSON, without the routing stamp. Journal it with `enqueued` and with what
 * the worker really got, and the order ledger finds data that changed or vanished on the way. Data that says nothing (`undefined`) counts as null.
 */
export function dataDigest(data: unknown): string {
  let sent = data;
  if (typeof data === "object" && data !== null && !Array.isArray(data) && stamp in data) {
    const { [stamp]: _, ...rest } = data as Record<string, unknown>;
    sent = rest;
  }
  return createHash("sha256")
    .update(JSON.stringify(sent) ?? "null")
    .digest("hex")
    .slice(0, 16);
}
