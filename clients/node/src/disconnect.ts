import type { Redis } from "ioredis";

/**
 * Ends a client for good, whatever it is doing. Disconnected between two attempts, ioredis stays "reconnecting" with no
 * end event and its commands unanswered, and BullMQ waits for both; an attempt cancelled before it opens a socket ends it.
 */
export function disconnect(client: Redis): void {
  if (client.status === "reconnecting") client.connect().catch(() => undefined);
  client.disconnect();
  // ioredis 5 leaves the timer of a socket timeout behind, which keeps the process for that long.
  clearTimeout((client as unknown as { socketTimeoutTimer?: NodeJS.Timeout }).socketTimeoutTimer);
}
