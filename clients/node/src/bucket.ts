/**
 * Sticky bucketing of order keys, identical to flagd's `fractional` operator (v2), so that every instance and every
 * language gives the same order to the same side.
 */

/** murmur3_x86_32 of the UTF-8 bytes of `text` with seed 0, as an unsigned 32-bit number. */
export function murmur3(text: string): number {
  const bytes = Buffer.from(text, "utf8");
  const tail = bytes.length & ~3;
  let h = 0;
  for (let i = 0; i < tail; i += 4) {
    h ^= scramble(bytes.readUInt32LE(i));
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let i = bytes.length - 1; i >= tail; i--) rest = (rest << 8) | bytes[i]!;
  if (rest !== 0) h ^= scramble(rest);
  h ^= bytes.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function scramble(k: number): number {
  k = Math.imul(k, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}

/** Bucket 0..99 of an order key under a flag. The product stays below 2^53, so the division is exact. */
export function bucket(flagKey: string, orderKey: string): number {
  return Math.floor((murmur3(flagKey + orderKey) * 100) / 2 ** 32);
}
