import { createHash } from "node:crypto";
import type { Side, Stage } from "@switchyard/bullmq";

/** An order as it travels in a job. */
export interface Order {
  id: string;
  event: string;
  provider: string;
  type: string;
  created: number;
  amount: number;
  currency: string;
  customer: string;
  items: { sku: string; qty: number; price: number }[];
  canary?: true;
  /** Test traffic: milliseconds before it may run, and how often it fails first. */
  switchyard_delay_ms?: number;
  switchyard_fail_times?: number;
}

/** The decision made once, when the order was accepted. Workers obey it and never look at the flags. */
export interface Stamp {
  authority: Side;
  stage: Stage;
  revision: number;
  /** Set by the mover when the job was carried to the other side. */
  movedTo?: Side;
}

export interface JobData {
  order: Order;
  _switchyard: Stamp;
}

// The id becomes part of a BullMQ job id, which may hold no colon.
const identifier = /^[A-Za-z0-9_.-]{1,128}$/;

/**
 * The order in a Stripe-style event.
 * @throws Error saying which field is unusable.
 */
export function orderFrom(event: unknown): Order {
  const e = fields(event, "event");
  const object = fields(fields(e["data"], "data")["object"], "data.object");
  return {
    id: id(object["id"], "data.object.id"),
    event: id(e["id"], "id"),
    provider: "stripe",
    type: text(e["type"], "type"),
    created: whole(e["created"], "created"),
    amount: whole(object["amount"], "data.object.amount"),
    currency: text(object["currency"], "data.object.currency"),
    customer: text(object["customer"], "data.object.customer"),
    items: list(object["items"] ?? []),
    switchyard_delay_ms: whole(object["switchyard_delay_ms"] ?? 0, "switchyard_delay_ms"),
    switchyard_fail_times: whole(object["switchyard_fail_times"] ?? 0, "switchyard_fail_times"),
  };
}

/** An order that proves the path and changes nothing. */
export function canaryOrder(body: unknown): Order {
  const event = id(fields(body, "body")["id"], "id");
  return { id: event, event, provider: "switchyard", type: "canary", created: Math.floor(Date.now() / 1000), amount: 0, currency: "", customer: "", items: [], canary: true };
}

export function jobId(order: Order): string {
  return `${order.provider}_${order.event}`;
}

/** What executing the order yields: a pure function of its content, so both sides must agree on it. */
export function resultOf(order: Order): string {
  const canonical = [order.id, order.amount, order.currency, order.customer, order.items.map((i) => [i.sku, i.qty, i.price])];
  return createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
}

function fields(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${name} is not an object`);
  return value as Record<string, unknown>;
}

function id(value: unknown, name: string): string {
  if (typeof value !== "string" || !identifier.test(value)) throw new Error(`${name} is not an identifier`);
  return value;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string" || value.length > 256) throw new Error(`${name} is not a short text`);
  return value;
}

function whole(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is not a whole number`);
  return value;
}

function list(value: unknown): Order["items"] {
  if (!Array.isArray(value)) throw new Error("data.object.items is not a list");
  return value.map((item, n) => {
    const i = fields(item, `items[${n}]`);
    return { sku: text(i["sku"], `items[${n}].sku`), qty: whole(i["qty"], `items[${n}].qty`), price: whole(i["price"], `items[${n}].price`) };
  });
}
