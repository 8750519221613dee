import { createHmac, timingSafeEqual } from "node:crypto";
import type { ServerResponse } from "node:http";
import { identifier, sha256, type Order } from "./order.js";

export const providerIds = ["stripe", "shopify", "clickfunnels", "copecart", "cope"] as const;
export type ProviderId = (typeof providerIds)[number];

/** Each header's values by its lower-case name, as `IncomingMessage.headersDistinct` gives them. */
export type Headers = NodeJS.Dict<string[]>;

/** A sender of webhooks. Schemes, success rules and dedupe keys with their sources: docs/webhooks.md. */
export interface Provider {
  readonly id: ProviderId;
  /** Whether the raw body is signed with any one of the secrets and, where the signature has a time, at about `now` (Unix ms). */
  verify(headers: Headers, rawBody: Buffer, secrets: readonly string[], now: number): boolean;
  /**
   * The order in a delivery. Without headers, as of an event that the provider's API gave, it is the same order.
   * @throws Error saying which field is unusable.
   */
  order(rawBody: Buffer, headers: Headers): Order;
  /** Answers what the provider takes for a success. */
  reply(res: ServerResponse): void;
}

export const providers: Record<ProviderId, Provider> = {
  stripe: {
    id: "stripe",
    verify: timed("stripe-signature", 300),
    order(rawBody) {
      const e = parse(rawBody);
      const object = fields(fields(e["data"], "data")["object"], "data.object");
      return make("stripe", rawBody, {
        id: object["id"],
        key: text(e["id"]),
        type: e["type"],
        created: e["created"],
        customer: object["customer"],
        traffic: object,
        // A checkout session has amount_total, a payment has amount: both in minor units already.
        ...money(object["currency"], () => ({ amount: whole(object["amount_total"] ?? object["amount"], "data.object.amount"), items: items(object["items"], whole, (i) => ({ ...flat(i), qty: i["qty"] })) })),
      });
    },
    reply: json({ received: true }),
  },
  shopify: {
    id: "shopify",
    verify: bare("x-shopify-hmac-sha256"),
    order(rawBody, headers) {
      const o = parse(rawBody);
      return make("shopify", rawBody, {
        id: o["id"],
        // What the Admin API gives has no headers: its key is the order's.
        key: headers["x-shopify-event-id"]?.[0] || orderKey(text(o["id"])),
        type: headers["x-shopify-topic"]?.[0] ?? "order",
        created: o["created_at"],
        customer: inner(o["customer"])["id"],
        traffic: o,
        ...money(o["currency"], (minor) => ({ amount: minor(o["total_price"], "total_price"), items: items(o["line_items"], minor) })),
      });
    },
    reply: (res) => void res.writeHead(200).end(),
  },
  clickfunnels: {
    id: "clickfunnels",
    verify(headers, rawBody, secrets, now) {
      const [signature, time] = [one(headers, "x-webhook-clickfunnels-signature"), one(headers, "x-webhook-clickfunnels-timestamp")];
      return isTime(time) && proves(hex(signature), secrets, [`${time}.`, rawBody]) && fresh(time, 600, now);
    },
    order(rawBody) {
      const e = parse(rawBody);
      const data = inner(e["data"]);
      const id = text(e["subject_id"]) || text(data["id"]);
      return make("clickfunnels", rawBody, {
        id,
        key: text(e["event_id"]) || orderKey(id),
        type: e["event_type"],
        created: e["created_at"],
        customer: data["contact_id"],
        traffic: data,
        ...money(data["currency"], (minor) => ({ amount: minor(data["total_amount"], "data.total_amount"), items: items(data["line_items"], minor, clickFunnelsLine) })),
      });
    },
    reply: json({ received: true }),
  },
  copecart: {
    id: "copecart",
    verify: bare("x-copecart-signature"),
    order(rawBody) {
      const e = parse(rawBody);
      const [transaction, type] = [text(e["transaction_id"]), text(e["event_type"])];
      return make("copecart", rawBody, {
        id: e["order_id"],
        // Types hold no dash, so that the last two dashes part the key in one way only.
        key: transaction && type && !type.includes("-") ? `${transaction}--${type}` : "",
        type,
        created: e["transaction_date"],
        customer: e["buyer_id"],
        traffic: e,
        ...money(e["transaction_currency"], (minor) => ({ amount: minor(e["transaction_amount"], "transaction_amount"), items: items(e["line_items"], minor) })),
      });
    },
    reply: (res) => void res.writeHead(200, { "Content-Type": "text/plain" }).end("OK"), // exactly this: anything else is a failure
  },
  cope: {
    id: "cope",
    verify: timed("x-cope-signature", 300),
    order(rawBody, headers) {
      const e = parse(rawBody);
      const data = inner(e["data"]);
      const [id, source] = [text(e["id"]), text(e["source"])];
      return make("cope", rawBody, {
        id: e["subject"],
        // A source is a URI reference: it holds no space.
        key: id && source ? `${source} ${id}` : id || headers["x-cope-event-id"]?.[0],
        type: text(e["type"]) || e["event_type"],
        created: e["time"],
        customer: data["customer_id"],
        traffic: data,
        ...money(data["currency"], () => ({ amount: whole(data["amount"], "data.amount"), items: items(data["items"], whole) })),
      });
    },
    reply: json({ status: "received" }),
  },
};

// Signatures. Comparisons take the same time whatever agrees, and with every secret: two are valid while one is being replaced.

type Verify = Provider["verify"];

/** `t=<Unix s>,v1=<hex HMAC-SHA256 of "t.body">`, v1 repeatable; one t, so that the time that is checked is the one that is signed. */
function timed(header: string, tolerance: number): Verify {
  return (headers, rawBody, secrets, now) => {
    const parts = (one(headers, header) ?? "").split(",").map((part) => /^([^=]*)=(.*)$/.exec(part.trim()) ?? []);
    const values = (name: string): string[] => parts.flatMap(([, key, value]) => (key === name ? [value!] : []));
    const [time, ...more] = values("t");
    return isTime(time) && more.length === 0 && values("v1").some((v1) => proves(hex(v1), secrets, [`${time}.`, rawBody])) && fresh(time, tolerance, now);
  };
}

/** Base64 HMAC-SHA256 of the body. It holds no time: only the dedupe key stops a delivery that was captured. */
function bare(header: string): Verify {
  return (headers, rawBody, secrets) => {
    const value = one(headers, header) ?? "";
    const given = Buffer.from(value, "base64");
    return given.toString("base64") === value && proves(given, secrets, [rawBody]);
  };
}

/** The one value of a header. Several are none: an app and a proxy could look at different ones. */
function one(headers: Headers, name: string): string | undefined {
  const values = headers[name];
  return values?.length === 1 ? values[0] : undefined;
}

function hex(value: string | undefined): Buffer {
  return Buffer.from(/^[0-9a-f]{64}$/i.test(value ?? "") ? value! : "", "hex");
}

function proves(given: Buffer, secrets: readonly string[], parts: readonly (string | Buffer)[]): boolean {
  const matches = secrets.map((secret) => {
    const hmac = createHmac("sha256", secret);
    for (const part of parts) hmac.update(part);
    const expected = hmac.digest();
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  return matches.includes(true);
}

function isTime(value: string | undefined): value is string {
  return /^\d{1,12}$/.test(value ?? "");
}

// Both ways: a time far ahead would stay valid for as long.
function fresh(seconds: string, tolerance: number, now: number): boolean {
  return Math.abs(now / 1000 - Number(seconds)) <= tolerance;
}

// Orders.

type Fields = Record<string, unknown>;

interface Parsed {
  id: unknown;
  /** Dedupe key: the same at every try of the same event. Empty: the body's hash, since a retry has the same body. */
  key: string | undefined;
  type: unknown;
  created: unknown;
  amount: number;
  currency: string;
  customer: unknown;
  items: Order["items"];
  /** Where a test's switchyard_* fields are. */
  traffic: Fields;
}

function make(provider: ProviderId, rawBody: Buffer, p: Parsed): Order {
  const id = text(p.id);
  if (!id) throw new Error("the body names no order: its id is missing");
  return {
    // Two providers may use the same id. A colon stands in no id of Stripe's and in no job id.
    id: (provider === "stripe" ? "" : `${provider}:`) + (identifier.test(id) ? id : sha256(id)),
    event: p.key || sha256(rawBody),
    provider,
    type: short(p.type, "type"),
    created: seconds(p.created),
    amount: p.amount,
    currency: p.currency,
    customer: short(p.customer, "customer"),
    items: p.items,
    switchyard_delay_ms: whole(p.traffic["switchyard_delay_ms"] ?? "0", "switchyard_delay_ms"),
    switchyard_fail_times: whole(p.traffic["switchyard_fail_times"] ?? "0", "switchyard_fail_times"),
  };
}

/** The key of an order that comes without an event. */
function orderKey(id: string): string {
  return id && `order-${id}`;
}

/** Parses JSON with every number as the text it was written as: long ids and amounts must not pass through a double. */
function parse(rawBody: Buffer): Fields {
  const body = rawBody.toString("utf8");
  JSON.parse(body); // what is no JSON is no order, whatever quotes would make of it
  return fields(JSON.parse(body.replace(/"(?:[^"\\]+|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (token.startsWith('"') ? token : `"${token}"`))), "the body");
}

function fields(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${name} is not an object`);
  return value as Fields;
}

function inner(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

// A text or a number, which providers use for ids alike.
function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function short(value: unknown, name: string): string {
  const s = text(value);
  if (s.length > 256) throw new Error(`${name} is not a short text`);
  return s;
}

function whole(value: unknown, name: string): number {
  if (!/^\d{1,16}$/.test(text(value)) || !Number.isSafeInteger(Number(value))) throw new Error(`${name} is not a whole number`);
  return Number(value);
}

// Unix seconds, of these or of a date; 0 when it is neither: an odd time costs no order.
function seconds(value: unknown): number {
  const s = text(value);
  const at = isTime(s) ? Number(s) : Math.floor(Date.parse(s) / 1000);
  return at > 0 ? at : 0;
}

/** Reads a decimal amount, such as 19.90, as minor units of the currency. */
type Minor = (value: unknown, name: string) => number;

function money(code: unknown, read: (minor: Minor) => Pick<Parsed, "amount" | "items">): Pick<Parsed, "amount" | "items" | "currency"> {
  const currency = text(code).toLowerCase();
  if (!/^[a-z]{3}$/.test(currency)) throw new Error("the currency is not a code of three letters");
  const digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  const minor: Minor = (value, name) => {
    const [, units, fraction = ""] = /^(\d{1,15})(?:\.(\d+))?$/.exec(text(value)) ?? [];
    const cents = fraction.replace(/0+$/, "");
    if (units === undefined || cents.length > digits) throw new Error(`${name} is not an amount with at most ${digits} decimals`);
    return whole(units + cents.padEnd(digits, "0"), name);
  };
  return { currency, ...read(minor) };
}

type Line = Record<"sku" | "qty" | "price", unknown>;

function items(value: unknown, price: Minor, line: (item: Fields) => Line = flat): Order["items"] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error("the items are not a list");
  return value.map((item, n) => {
    const i = line(fields(item, `item ${n}`));
    return { sku: short(i.sku, `item ${n}: sku`), qty: whole(i.qty, `item ${n}: quantity`), price: price(i.price, `item ${n}: price`) };
  });
}

const flat = (i: Fields): Line => ({ sku: i["sku"], qty: i["quantity"], price: i["price"] });

// As ClickFunnels' API describes a line of an order, which its webhooks carry too.
const clickFunnelsLine = (i: Fields): Line => ({ sku: inner(i["products_variant"])["sku"], qty: i["quantity"], price: inner(i["products_price"])["amount"] });

function json(body: object): Provider["reply"] {
  return (res) => void res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
