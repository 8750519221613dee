// Starts the real app as a process of its own, and speaks to it as the payment provider and the control plane do.
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { directory, kill, run } from "../../../clients/node/test/redis.mjs";

export { directory, freePort, redis, sentinels, until } from "../../../clients/node/test/redis.mjs";
export { switchyard } from "../../../clients/node/test/switchyard.mjs";

const main = new URL("../dist/main.js", import.meta.url).pathname;
const unsafe = new URL("./unsafe.mjs", import.meta.url).pathname;
const secret = "whsec_test";
const token = "ingestion-token";

export const sentinelEnv = ({ addresses, name }) => ({
  SENTINEL_ADDRS: addresses.map(({ host, port }) => `${host}:${port}`).join(),
  SENTINEL_MASTER: name,
});

export function order(n, fields = {}) {
  return {
    id: `evt_${n}`,
    type: "checkout.session.completed",
    created: 1_790_000_000,
    data: {
      object: { id: `ord_${n}`, amount: 1999, currency: "eur", customer: "cus_1", items: [{ sku: "book", qty: 1, price: 1999 }], ...fields },
    },
  };
}

/** The body of order `id` worth 19.99 as each provider sends it, with the headers that are not the signature's. */
export const bodies = {
  stripe: (id) => ({ body: order(id, { id }), headers: {} }),
  shopify: (id) => ({
    body: {
      id,
      admin_graphql_api_id: `gid://shopify/Order/${id}`,
      created_at: "2026-11-26T10:00:00-05:00",
      currency: "EUR",
      total_price: "19.99",
      customer: { id: 7 },
      line_items: [{ sku: "book", quantity: 1, price: "19.99" }],
    },
    headers: { "X-Shopify-Event-Id": `event-${id}`, "X-Shopify-Topic": "orders/paid" },
  }),
  clickfunnels: (id) => ({
    body: { event_id: `cf-${id}`, event_type: "one-time-order.completed", subject_id: id, created_at: "2026-11-26T15:00:00Z", data: { id, currency: "EUR", total_amount: "19.99" } },
    headers: {},
  }),
  copecart: (id) => ({
    body: { event_type: "payment.made", transaction_id: `tx-${id}`, order_id: id, transaction_currency: "EUR", transaction_amount: 19.99, transaction_date: "2026-11-26" },
    headers: {},
  }),
  cope: (id) => ({
    body: { specversion: "1.0", source: "/cope/payments", id: `evt-${id}`, type: "cope.payment.sale.succeeded", subject: id, time: "2026-11-26T15:00:00Z", data: { amount: 1999, currency: "EUR" } },
    headers: {},
  }),
};

/** The headers that sign a provider's body. */
export function signature(provider, body, { at = Date.now(), key = secret } = {}) {
  const t = String(Math.floor(at / 1000));
  const mac = (text, encoding) => createHmac("sha256", key).update(text).digest(encoding);
  return {
    stripe: () => ({ "Stripe-Signature": sign(body, { at, key }) }),
    shopify: () => ({ "X-Shopify-Hmac-Sha256": mac(body, "base64") }),
    clickfunnels: () => ({ "X-Webhook-ClickFunnels-Timestamp": t, "X-Webhook-ClickFunnels-Signature": mac(`${t}.${body}`, "hex") }),
    copecart: () => ({ "X-Copecart-Signature": mac(body, "base64") }),
    cope: () => ({ "X-Cope-Signature": sign(body, { at, key }) }),
  }[provider]();
}

export function sign(body, { at = Date.now(), key = secret } = {}) {
  const t = Math.floor(at / 1000);
  return `t=${t},v1=${createHmac("sha256", key).update(`${t}.${body}`).digest("hex")}`;
}

/** Starts the app; `t` may be undefined when the caller stops it. */
export async function app(t, sy, env = {}) {
  const dir = env.DATA_DIR ?? directory();
  const start = async () => {
    const child = run(process.execPath, [env.BREAKER ? unsafe : main], {
      env: {
        PATH: process.env.PATH,
        PORT: "0",
        SWITCHYARD_URL: sy.url,
        SWITCHYARD_TOKEN: sy.token,
        INGESTION_TOKEN: token,
        WEBHOOK_SECRET: secret,
        ...Object.fromEntries(["SHOPIFY", "CLICKFUNNELS", "COPECART", "COPE"].map((name) => [`${name}_WEBHOOK_SECRET`, secret])),
        INSTANCE_ID: "ingestion-test",
        ...env,
        DATA_DIR: dir,
      },
    });
    child.stderr.on("data", (data) => self.stderr.push(String(data)));
    const lines = createInterface({ input: child.stdout });
    const listening = new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        const entry = JSON.parse(line);
        self.log.push(entry);
        if (entry.event === "listening") resolve(entry.port);
      });
      child.once("exit", (code, signal) => reject(new Error(`the app ended: ${code ?? signal}\n${self.stderr.join("")}${JSON.stringify(self.log)}`)));
    });
    self.child = child;
    self.url = `http://127.0.0.1:${await listening}`;
  };
  const self = {
    dir,
    log: [],
    stderr: [],
    start,
    kill: () => kill(self.child),
    /** SIGTERM; gives the exit code. */
    async stop() {
      self.child.kill("SIGTERM");
      const [code] = await once(self.child, "exit");
      return code;
    },
    async post(path, body, headers) {
      const start = performance.now();
      const res = await fetch(self.url + path, { method: "POST", body, headers, signal: AbortSignal.timeout(20_000) });
      const text = await res.text();
      let answer = text; // CopeCart's is no JSON
      if (res.headers.get("content-type") === "application/json") answer = JSON.parse(text);
      return { status: res.status, retryAfter: res.headers.get("retry-after"), body: answer, ms: performance.now() - start };
    },
    deliver(event) {
      const body = JSON.stringify(event);
      return self.post("/webhooks/stripe", body, { "Stripe-Signature": sign(body) });
    },
    /** Delivers order `id` of a provider, signed. */
    webhook(provider, id, options) {
      const { body, headers } = bodies[provider](id);
      const text = JSON.stringify(body);
      return self.post(`/webhooks/${provider}`, text, { ...headers, ...signature(provider, text, options) });
    },
    replay: (query, body) => self.post(`/switchyard/replay${query}`, body, { Authorization: `Bearer ${token}` }),
    canary: (id) => self.post("/switchyard/canary", JSON.stringify({ id }), { Authorization: `Bearer ${token}` }),
    async get(path, headers = { Authorization: `Bearer ${token}` }) {
      const res = await fetch(self.url + path, { headers, signal: AbortSignal.timeout(10_000) });
      return { status: res.status, body: await res.json() };
    },
    async journal(filter = () => true) {
      const events = [];
      for (let after = 0; ; ) {
        const { body } = await self.get(`/switchyard/journal?after=${after}&limit=1000`);
        events.push(...body.events);
        if (body.events.length === 0) return events.filter(filter);
        after = body.next;
      }
    },
  };
  t.after(() => kill(self.child));
  await start();
  return self;
}
