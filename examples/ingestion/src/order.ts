import { createHash } from "node:crypto";
import type { Side, Stage } from "@switchyard/bullmq";

/** An order as it travels in a job. */
export interface Order {
  /** Names the order in the sink and in the journal; of providers other than Stripe `<provider>:<their id>`. */
  id: string;
  /** Dedupe key within the provider. */
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

/** What may stand in a BullMQ job id as it is; a colon may not. */
export const identifier = /^[A-Za-z0-9_.-]{1,128}$/;

/** An order that proves the path and changes nothing. */
export function canaryOrder(body: unknown): Order {
  const { id } = (body ?? {}) as { id?: unknown };
  if (typeof id !== "string" || !identifier.test(id)) throw new Error("id is not an identifier");
  return { id, event: id, provider: "switchyard", type: "canary", created: Math.floor(Date.now() / 1000), amount: 0, currency: "", customer: "", items: [], canary: true };
}

/** The same for every delivery of the order's event, different for any other event of any provider. */
export function jobId(order: Order): string {
  return `${order.provider}_${identifier.test(order.event) ? order.event : sha256(order.event)}`;
}

/** What executing the order yields: a pure function of its content, so both sides must agree on it. */
export function resultOf(order: Order): string {
  const canonical = [order.id, order.amount, order.currency, order.customer, order.items.map((i) => [i.sku, i.qty, i.price])];
  return createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
}

export function sha256(data: string | Buffer): string {
  return `sha256-${createHash("sha256").update(data).digest("hex")}`;
}
