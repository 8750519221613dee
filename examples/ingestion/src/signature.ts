import { createHmac, timingSafeEqual } from "node:crypto";

const toleranceSeconds = 300;

/**
 * Whether a Stripe-Signature header (`t=<unix s>,v1=<hex HMAC-SHA256 of "t.body">`, v1 repeatable) proves the body.
 * Scheme and tolerance: https://docs.stripe.com/webhooks#verify-manually
 */
export function signed(header: string | undefined, body: Buffer, secret: string, now = Date.now()): boolean {
  const parts = (header ?? "").split(",").map((part) => part.trim().split("="));
  const time = parts.find(([key]) => key === "t")?.[1] ?? "";
  if (!/^\d{1,12}$/.test(time) || Math.abs(now / 1000 - Number(time)) > toleranceSeconds) return false;
  const expected = createHmac("sha256", secret).update(`${time}.`).update(body).digest();
  return parts.some(([key, value]) => {
    const given = key === "v1" && /^[0-9a-f]{64}$/.test(value ?? "") ? Buffer.from(value!, "hex") : undefined;
    return given !== undefined && timingSafeEqual(given, expected);
  });
}

/** Compares two secrets without telling how much of them agrees. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (s: string): Buffer => createHmac("sha256", "compare").update(s).digest();
  return timingSafeEqual(digest(a), digest(b));
}
