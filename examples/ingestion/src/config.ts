import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Endpoint } from "@switchyard/bullmq";
import { providerIds, type ProviderId } from "./providers.js";

export interface Config {
  host: string;
  port: number;
  standalone: Endpoint | undefined;
  sentinel: Endpoint | undefined;
  target: Endpoint | undefined;
  switchyardUrl: string;
  switchyardToken: string;
  ingestionToken: string;
  /** By provider; of one without a secret no webhooks are taken. Two are valid while one is being replaced. */
  webhookSecrets: Partial<Record<ProviderId, string[]>>;
  dataDir: string;
  /** Where orders take effect, shared with other instances; undefined: in `dataDir`. */
  sinkDir: string | undefined;
  /** The routed queue, and what this process is called by Switchyard's pages. */
  queue: string;
  service: string;
  instance: string;
  /** Replicas that must confirm an order while the source is the Sentinel estate. */
  waitReplicas: number;
  /** Keep orders on disk before they are acknowledged, and enqueue them later. */
  durableIntake: boolean;
}

/**
 * Reads the environment.
 * @throws Error naming the variable that is missing or malformed, never its value: most of them are secrets.
 */
export function configFrom(env: NodeJS.ProcessEnv): Config {
  const required = (name: string): string => {
    const value = env[name];
    if (!value) throw new Error(`${name} is not set`);
    return value;
  };
  const integer = (name: string, fallback: number): number => {
    const value = env[name] === undefined || env[name] === "" ? fallback : Number(env[name]);
    if (!Number.isInteger(value) || value < 0) throw new Error(`${name} is not a whole number`);
    return value;
  };
  return {
    host: env["HOST"] || "127.0.0.1",
    port: integer("PORT", 0),
    standalone: env["SOURCE_REDIS_URL"] ? { url: env["SOURCE_REDIS_URL"] } : undefined,
    sentinel: sentinel(env),
    target: target(env),
    switchyardUrl: required("SWITCHYARD_URL").replace(/\/$/, ""),
    switchyardToken: required("SWITCHYARD_TOKEN"),
    ingestionToken: required("INGESTION_TOKEN"),
    webhookSecrets: webhookSecrets(env),
    dataDir: required("DATA_DIR"),
    sinkDir: env["SINK_DIR"] || undefined,
    queue: env["QUEUE"] || "order-ingestion",
    service: env["SERVICE"] || "ingestion",
    instance: env["INSTANCE_ID"] || `${hostname()}-${process.pid}`,
    waitReplicas: integer("WAIT_REPLICAS", 1),
    durableIntake: env["INTAKE"] === "durable",
  };
}

// The first one has no prefix: it is older than the others.
const secretName = (id: ProviderId): string => (id === "stripe" ? "WEBHOOK_SECRET" : `${id.toUpperCase()}_WEBHOOK_SECRET`);

function webhookSecrets(env: NodeJS.ProcessEnv): Config["webhookSecrets"] {
  const secrets: Config["webhookSecrets"] = {};
  for (const id of providerIds) {
    const list = (env[secretName(id)] ?? "").split(",").map((secret) => secret.trim()).filter(Boolean);
    if (list.length > 2) throw new Error(`${secretName(id)} holds ${list.length} secrets, at most 2 are valid at a time`);
    if (list.length > 0) secrets[id] = list;
  }
  if (Object.keys(secrets).length === 0) throw new Error(`none of ${providerIds.map(secretName).join(", ")} is set`);
  return secrets;
}

function sentinel(env: NodeJS.ProcessEnv): Endpoint | undefined {
  if (!env["SENTINEL_ADDRS"]) return undefined;
  const sentinels = env["SENTINEL_ADDRS"].split(",").map((address) => {
    const [, host, port] = /^(.+):(\d+)$/.exec(address.trim()) ?? [];
    if (!host || !port) throw new Error("SENTINEL_ADDRS is not a list of host:port");
    return { host, port: Number(port) };
  });
  if (!env["SENTINEL_MASTER"]) throw new Error("SENTINEL_MASTER is not set");
  return {
    sentinels,
    name: env["SENTINEL_MASTER"],
    ...(env["SENTINEL_REDIS_PASSWORD"] && { password: env["SENTINEL_REDIS_PASSWORD"] }),
    ...(env["SENTINEL_PASSWORD"] && { sentinelPassword: env["SENTINEL_PASSWORD"] }),
  };
}

function target(env: NodeJS.ProcessEnv): Endpoint | undefined {
  if (!env["TARGET_REDIS_URL"]) return undefined;
  const file = env["TARGET_REDIS_CA"];
  if (!file) return { url: env["TARGET_REDIS_URL"] };
  try {
    return { url: env["TARGET_REDIS_URL"], ca: readFileSync(file, "utf8") };
  } catch (err) {
    throw new Error(`TARGET_REDIS_CA cannot be read: ${(err as NodeJS.ErrnoException).code}`);
  }
}
