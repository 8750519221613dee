import type { RedisOptions } from "ioredis";

/** Where a Redis is. Either `url` (redis:// or rediss://) or `sentinels` + `name`. */
export type Endpoint =
  | { url: string; /** PEM of the authority that signed the server's certificate. */ ca?: string }
  | {
      sentinels: { host: string; port: number }[];
      name: string;
      username?: string;
      password?: string;
      sentinelUsername?: string;
      sentinelPassword?: string;
      /** PEM of the authority that signed the servers' certificates; it turns TLS on, to the sentinels too. */
      ca?: string;
    };

/** What a connection is for; it becomes the name that CLIENT LIST shows. */
export interface Purpose {
  service: string;
  queue: string;
  side: string;
}

// A server that was demoted to a replica still accepts connections and answers READONLY: only a reconnect leaves it.
const demoted = (err: Error): boolean => err.message.includes("READONLY");

// BullMQ's own strategy backs off to 20 s and keeps refusing long after Redis is back.
const retryStrategy = (attempt: number): number => Math.min(attempt * 200, 1000);

/**
 * Options of a connection that enqueues: every failure must be an error within two seconds, never a wait.
 * Each one closes a hang that was measured: the offline queue (Redis killed), the command timeout (frozen or
 * blackholed), the socket timeout (a dead socket that never closes).
 */
export function producerOptions(endpoint: Endpoint, purpose: Purpose): RedisOptions {
  return {
    ...address(endpoint),
    connectionName: `producer:${purpose.service}:${purpose.queue}:${purpose.side}`,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 2000,
    connectTimeout: 2000,
    socketTimeout: 4000,
    retryStrategy,
    reconnectOnError: demoted,
  };
}

/** What an app that never heard of a breaker would use. Only for drills that show what the safe options prevent. */
export function unsafeProducerOptions(endpoint: Endpoint, purpose: Purpose): RedisOptions {
  return { ...address(endpoint), connectionName: `producer:${purpose.service}:${purpose.queue}:${purpose.side}` };
}

/**
 * Options of a connection that executes: it must outlive any outage, so it waits and retries for ever. No command
 * timeout: that would cut the blocking read. The socket timeout is three times the longest block (10 s).
 */
export function workerOptions(endpoint: Endpoint, purpose: Purpose): RedisOptions {
  return {
    ...address(endpoint),
    connectionName: `worker:${purpose.service}:${purpose.queue}:${purpose.side}`,
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
    connectTimeout: 5000,
    socketTimeout: 30_000,
    retryStrategy,
    reconnectOnError: (err) => (demoted(err) ? 2 : false),
  };
}

function address(endpoint: Endpoint): RedisOptions {
  if ("sentinels" in endpoint) {
    return {
      sentinels: endpoint.sentinels,
      name: endpoint.name,
      ...(endpoint.username && { username: endpoint.username }),
      ...(endpoint.password && { password: endpoint.password }),
      ...(endpoint.sentinelUsername && { sentinelUsername: endpoint.sentinelUsername }),
      ...(endpoint.sentinelPassword && { sentinelPassword: endpoint.sentinelPassword }),
      ...(endpoint.ca && { tls: { ca: endpoint.ca }, sentinelTLS: { ca: endpoint.ca }, enableTLSForSentinelMode: true }),
      sentinelRetryStrategy: (attempt) => Math.min(attempt * 100, 500),
      sentinelCommandTimeout: 1000,
    };
  }
  const url = parse(endpoint.url);
  const tls = url.protocol === "rediss:";
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 6379),
    ...(url.username && { username: decodeURIComponent(url.username) }),
    ...(url.password && { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 && { db: Number(url.pathname.slice(1)) }),
    ...(tls && { tls: endpoint.ca ? { ca: endpoint.ca } : {} }),
  };
}

// The error names no part of the address: it carries the password.
function parse(text: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // reported below
  }
  if (url?.protocol !== "redis:" && url?.protocol !== "rediss:") throw new Error("a Redis address must be a redis:// or rediss:// URL");
  return url;
}
