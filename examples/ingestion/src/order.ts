import { createHash } from "node:crypto";

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
  /** Test traffic: milliseconds before it may run, and how often it fails first. */
  switchyard_delay_ms?: number;
  switchyard_fail_times?: number;
}

/** What may stand in a BullMQ job id as it is; a colon may not. */
export const identifier = /^[A-Za-z0-9_.-]{1,128}$/;

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
