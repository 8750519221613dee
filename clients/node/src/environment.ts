import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "./options.js";
import type { PipelineConfig } from "./pipeline.js";

/** The part of a pipeline's configuration that differs from one deployment to the next. */
export type Deployment = Pick<
  PipelineConfig<object>,
  "redis" | "switchyard" | "token" | "service" | "instance" | "dataDir" | "replicas" | "durableIntake"
>;

/**
 * Reads a pipeline's deployment from environment variables: `SOURCE_REDIS_URL`;
 * `SENTINEL_ADDRS` (host:port, by commas), `SENTINEL_MASTER`, `SENTINEL_REDIS_PASSWORD`,
 * `SENTINEL_PASSWORD`, and with access lists `SENTINEL_REDIS_USERNAME` and `SENTINEL_USERNAME`;
 * `TARGET_REDIS_URL`, `TARGET_REDIS_CA` (a PEM file); `SWITCHYARD_URL`, `SWITCHYARD_TOKEN`,
 * `INGESTION_TOKEN`, `DATA_DIR`; and where the defaults do not fit `SERVICE`, `INSTANCE_ID` (else
 * `DYNO`, else host and pid), `WAIT_REPLICAS` (1), `INTAKE` (`durable`). Where an instance has a
 * name that outlives it, `DATA_DIR` is by default `.switchyard/` and that name.
 * @throws Error naming what is missing or malformed, never its value: most of them are secrets.
 */
export function fromEnvironment(env: NodeJS.ProcessEnv): Deployment {
  const required = (name: string): string => {
    const value = env[name];
    if (!value) throw new Error(`${name} is not set`);
    return value;
  };
  const name = env["INSTANCE_ID"] || env["DYNO"];
  const dataDir = env["DATA_DIR"] || (name ? join(".switchyard", name) : required("DATA_DIR"));
  const replicas = env["WAIT_REPLICAS"] ? Number(env["WAIT_REPLICAS"]) : 1;
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw new Error("WAIT_REPLICAS is not a whole number");
  }
  const source = env["SOURCE_REDIS_URL"];
  return {
    redis: {
      standalone: source ? { url: source } : undefined,
      sentinel: sentinel(env),
      target: target(env),
    },
    switchyard: { url: required("SWITCHYARD_URL"), token: required("SWITCHYARD_TOKEN") },
    token: required("INGESTION_TOKEN"),
    dataDir,
    service: env["SERVICE"] || undefined,
    instance: name || `${hostname()}-${process.pid}`,
    replicas,
    ...(env["INTAKE"] === "durable" && { durableIntake: { dir: join(dataDir, "intake") } }),
  };
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
    ...(env["SENTINEL_REDIS_USERNAME"] && { username: env["SENTINEL_REDIS_USERNAME"] }),
    ...(env["SENTINEL_USERNAME"] && { sentinelUsername: env["SENTINEL_USERNAME"] }),
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
