import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { describe, test } from "node:test";
import { webhookSecrets } from "../dist/config.js";
import { jobId } from "../dist/order.js";
import { providerIds, providers } from "../dist/providers.js";
import { app, bodies, redis, signature, switchyard, until } from "./app.mjs";

const executed = (e) => e.type === "executed";
const read = (provider, body, headers = {}) => providers[provider].order(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), headers);

// Signatures, job ids and order ids are held against package webhooks in webhooks/webhookstest.
describe("providers", { concurrency: 4 }, () => {
  test("each provider's order is taken in under its own job id and answered as that provider wants it", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    const answers = { stripe: { received: true }, shopify: "", clickfunnels: { received: true }, copecart: "OK", cope: { status: "received" } };
    for (const provider of providerIds) {
      for (const _ of ["first", "again"]) {
        const answer = await a.webhook(provider, "1001");
        assert.deepEqual([answer.status, answer.body], [200, answers[provider]], provider);
      }
    }
    await until("all are executed", async () => (await a.journal(executed)).length >= 5);
    const runs = await a.journal(executed);
    assert.deepEqual(Object.fromEntries(runs.filter((e) => e.outcome === "applied").map((e) => [e.order, e.jobId])), {
      "1001": "stripe_evt_1001",
      "shopify:1001": "shopify_event-1001",
      "clickfunnels:1001": "clickfunnels_cf-1001",
      "copecart:1001": "copecart_tx-1001--payment.made",
      "cope:1001": jobId(read("cope", bodies.cope("1001").body)),
    });
    assert.equal(runs.filter((e) => e.outcome === "applied").length, 5, "one id at five providers is five orders");
    const deliveries = await a.journal((e) => e.type === "delivery");
    assert.deepEqual(deliveries.map((e) => [e.order, e.provider]).filter((_, i) => i % 2 === 0), providerIds.map((p) => [p === "stripe" ? "1001" : `${p}:1001`, p]));
  });

  test("a queue that is down is a 503 for each; a provider's wrong signature is not journaled, its unusable order is", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url, COPECART_WEBHOOK_SECRET: "new, whsec_test", COPE_WEBHOOK_SECRET: "" });
    assert.equal((await a.webhook("copecart", "1")).status, 200, "the old secret is valid while it is replaced");
    assert.equal((await a.webhook("copecart", "2", { key: "new" })).status, 200);
    assert.equal((await a.webhook("copecart", "3", { key: "new, whsec_test" })).status, 400);
    assert.equal((await a.webhook("clickfunnels", "1", { at: Date.now() - 599_000 })).status, 200);
    assert.equal((await a.webhook("clickfunnels", "1", { at: Date.now() - 602_000 })).status, 400);
    assert.equal((await a.webhook("cope", "1")).status, 404, "without a secret there is no such address");
    const odd = '{"id":1}';
    assert.equal((await a.post("/webhooks/shopify", odd, signature("shopify", odd))).status, 400);
    assert.deepEqual((await a.journal((e) => e.status === 400)).map((e) => [e.provider, e.error]), [["shopify", "the currency is not a code of three letters"]]);
    await source.stop();
    for (const provider of ["stripe", "shopify", "clickfunnels", "copecart"]) assert.equal((await a.webhook(provider, "9")).status, 503, provider);
    assert.equal((await a.journal((e) => e.status === 503)).map((e) => e.provider).join(), "stripe,shopify,clickfunnels,copecart");
  });

  test("a signature in two headers is refused: an app and a proxy could look at different ones", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    for (const provider of providerIds) {
      const { body, headers } = bodies[provider]("1");
      const text = JSON.stringify(body);
      const signed = Object.entries(signature(provider, text));
      for (const [times, status] of [[1, 200], [2, 400]]) {
        // fetch would make one header of two
        const req = request(`${a.url}/webhooks/${provider}`, { method: "POST", headers: { ...headers, ...Object.fromEntries(signed.map(([name, value]) => [name, Array(times).fill(value)])) } });
        req.end(text);
        const [res] = await once(req, "response");
        res.resume();
        assert.equal(res.statusCode, status, `${provider}, ${times}`);
      }
    }
  });

  test("a replay is read as its provider's, and an order that came by webhook before is not applied again", async (t) => {
    const [source, sy] = [await redis(t), await switchyard(t)];
    const a = await app(t, sy, { SOURCE_REDIS_URL: source.url });
    await a.webhook("shopify", 1001);
    const again = JSON.stringify(bodies.shopify(1001).body);
    assert.equal((await a.replay("?provider=shopify", again)).status, 200);
    assert.equal((await a.replay("?provider=clickfunnels", JSON.stringify(bodies.clickfunnels(1001).body))).status, 200);
    assert.equal((await a.replay("", JSON.stringify(bodies.stripe("1001").body))).status, 200);
    await until("all are executed", async () => (await a.journal(executed)).length === 4);
    const runs = Object.fromEntries((await a.journal(executed)).map((e) => [e.jobId, [e.order, e.outcome]]));
    assert.deepEqual(new Set(Object.keys(runs)), new Set(["shopify_event-1001", "shopify_order-1001", "clickfunnels_cf-1001", "stripe_evt_1001"]));
    assert.deepEqual(["shopify_event-1001", "shopify_order-1001"].map((job) => runs[job][1]).sort(), ["applied", "suppressed"]);
    assert.equal((await a.replay("?provider=paypal", again)).status, 400);
    assert.equal((await a.replay("?provider=shopify", "[]")).status, 400);
    assert.equal((await a.post("/switchyard/replay?provider=shopify", again)).status, 401);
  });

  test("each provider's fields are read, amounts as minor units", () => {
    for (const provider of providerIds) {
      const { amount, currency, provider: name } = read(provider, bodies[provider]("1").body);
      assert.deepEqual([amount, currency, name], [1999, "eur", provider]);
    }
    const { body, headers } = bodies.shopify(1);
    assert.deepEqual(read("shopify", body, { "x-shopify-event-id": ["e"], "x-shopify-topic": ["orders/paid"] }), {
      id: "shopify:1",
      event: "e",
      provider: "shopify",
      type: headers["X-Shopify-Topic"],
      created: Date.parse("2026-11-26T15:00:00Z") / 1000,
      amount: 1999,
      currency: "eur",
      customer: "7",
      items: [{ sku: "book", qty: 1, price: 1999 }],
      switchyard_delay_ms: 0,
      switchyard_fail_times: 0,
    });
  });

  test("amounts keep every digit in any currency, or are refused", () => {
    const amount = (total, currency = "EUR") => read("shopify", `{"id":1,"currency":"${currency}","total_price":${total}}`).amount;
    for (const [total, currency, minor] of [
      ['"1.15"', "EUR", 115],
      ["1.15", "EUR", 115],
      ['"0.5"', "EUR", 50],
      ['"199"', "EUR", 19900],
      ['"10.000"', "EUR", 1000],
      ['"90071992547409.91"', "EUR", Number.MAX_SAFE_INTEGER],
      ['"1500"', "JPY", 1500],
      ['"1500.00"', "JPY", 1500],
      ['"1.234"', "KWD", 1234],
    ]) {
      assert.equal(amount(total, currency), minor, `${total} ${currency}`);
    }
    for (const bad of ['"1.999"', '"-1"', '"1,50"', '""', "null", "[]", "1e3", '"90071992547409.92"']) assert.throws(() => amount(bad), /total_price/, bad);
    assert.throws(() => amount('"1"', "EURO"), /currency/);
  });

  test("ids longer than a double holds are kept, and what is no JSON is no order", () => {
    const order = (id) => read("shopify", `{"id":${id},"currency":"EUR","total_price":"1","note":"\\"id\\": 12, [3]"}`);
    assert.equal(order("820982911946154508").id, "shopify:820982911946154508");
    assert.equal(order('"820982911946154508"').event, "order-820982911946154508");
    assert.match(order('"a:b"').id, /^shopify:sha256-[0-9a-f]{64}$/);
    for (const bad of ["01", "1.", ".5", "NaN", "{1:2}"]) assert.throws(() => order(bad), SyntaxError, bad);
    for (const none of ["null", "true", "[1]", '""']) assert.throws(() => order(none), /names no order/, none);
  });

  test("secrets: at least one provider's, at most two of each", () => {
    const secrets = webhookSecrets;
    assert.deepEqual(secrets({ COPE_WEBHOOK_SECRET: "a, b", WEBHOOK_SECRET: "c," }), { stripe: ["c"], cope: ["a", "b"] });
    assert.throws(() => secrets({ SHOPIFY_WEBHOOK_SECRET: "alpha,beta,gamma" }), { message: "SHOPIFY_WEBHOOK_SECRET holds 3 secrets, at most 2 are valid at a time" });
    assert.throws(() => secrets({ WEBHOOK_SECRET: " , " }), /none of WEBHOOK_SECRET, SHOPIFY_WEBHOOK_SECRET/);
  });
});
