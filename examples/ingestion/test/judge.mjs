// What the app makes of deliveries, one JSON object a line in and out: webhooks/webhookstest holds it against package webhooks.
import { createInterface } from "node:readline";
import { jobId } from "../dist/order.js";
import { providers } from "../dist/providers.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { provider, headers, body, secrets, now } = JSON.parse(line);
  const raw = Buffer.from(body, "base64");
  const answer = { verified: providers[provider].verify(headers, raw, secrets, now) };
  try {
    const order = providers[provider].order(raw, headers);
    Object.assign(answer, { job: jobId(order), order });
  } catch (err) {
    answer.error = err.message;
  }
  console.log(JSON.stringify(answer));
}
