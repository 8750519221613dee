import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";
import { enqueue } from "./orders.js";

const app = express();

app.post("/webhooks/shopify", express.raw({ type: "*/*" }), async (req, res) => {
  if (!signed(req)) return res.sendStatus(401);
  const { id, total_price } = JSON.parse(req.body);
  await enqueue({ id: `shopify-${id}`, cents: Math.round(total_price * 100) });
  res.sendStatus(200);
});

function signed(req) {
  const wanted = createHmac("sha256", process.env.SHOPIFY_SECRET).update(req.body).digest();
  const given = Buffer.from(req.get("x-shopify-hmac-sha256") ?? "", "base64");
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

const server = app.listen(process.env.PORT, "127.0.0.1");
process.once("SIGTERM", () => server.close(() => process.exit(0)));
