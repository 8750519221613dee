// What a payment provider does for a shop: an order every half a second, each a signed webhook as
// Shopify sends it, tried again until the shop has answered 200. Shopify waits minutes between
// tries and gives up after four hours; here it is seconds, so that an afternoon suffices.
//
//   node customers.mjs URL FILE    until SIGTERM; FILE gets a line for each order that was sent
import { createHmac } from "node:crypto";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [url, file] = process.argv.slice(2);
const secret = process.env.SHOPIFY_SECRET;
const open = new Set();
let ended = false;
process.once("SIGTERM", () => (ended = true));
process.once("SIGINT", () => (ended = true));

async function deliver(id) {
  const body = JSON.stringify({ id, created_at: new Date(), currency: "EUR", total_price: "19.90" });
  const headers = {
    "Content-Type": "application/json",
    "X-Shopify-Topic": "orders/paid",
    "X-Shopify-Hmac-Sha256": createHmac("sha256", secret).update(body).digest("base64"),
  };
  for (let wait = 500; ; wait = Math.min(wait * 2, 5000)) {
    const res = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(5000) })
      .catch(() => undefined);
    await res?.arrayBuffer().catch(() => undefined);
    if (res?.status === 200) return;
    await sleep(wait);
  }
}

for (let id = Date.now(); !ended; id++) {
  appendFileSync(file, `shopify-${id}\n`);
  const one = deliver(id).finally(() => open.delete(one));
  open.add(one);
  await sleep(500);
}
await Promise.all(open); // every order that was sent is taken by the shop in the end
