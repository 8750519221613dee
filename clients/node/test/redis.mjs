// Real servers for the tests. Every process started here is killed when the test ends, however it ends.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";

const running = new Set();
const directories = [];
// A test that is given up on is ended by a signal, after which nothing else would run.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, () => process.exit(1));
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  // A process that was told to die may still write its last.
  for (const dir of directories) rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

/** Spawns a process that dies with this one. */
export function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Kills at once, also a stopped process, and waits until it is gone. */
export async function kill(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Polls until `check` gives a truthy value, and returns it. Errors count as "not yet". */
export async function until(what, check, ms = 30_000) {
  const end = Date.now() + ms;
  let last;
  while (Date.now() < end) {
    try {
      const value = await check();
      if (value) return value;
    } catch (err) {
      last = err;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`gave up waiting until ${what}`, { cause: last });
}

/**
 * A directory of its own, removed when this process ends: a test's hooks run in the order in which they were
 * registered, so one that removed it would do so under the processes that still write to it.
 */
export function directory() {
  const dir = mkdtempSync(join(tmpdir(), "switchyard-test-"));
  directories.push(dir);
  return dir;
}

/** A redis-server on a free port. `stop`, `freeze`, `thaw` and `start` act on the real process. */
export async function redis(t, { port, args = [] } = {}) {
  port ??= await freePort();
  const dir = directory();
  let child;
  const server = {
    port,
    url: `redis://127.0.0.1:${port}`,
    client: new Redis(port, "127.0.0.1", { lazyConnect: true, retryStrategy: () => 50 }),
    async start() {
      // Always: with a sync each second a write is put off while one is under way, and a kill in between loses what was acknowledged.
      child = run("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always", ...args]);
      await until(`redis answers on ${port}`, async () => (await server.client.ping()) === "PONG");
    },
    stop: () => kill(child),
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
  };
  server.client.on("error", () => undefined);
  t.after(async () => {
    server.client.disconnect();
    await kill(child);
  });
  await server.start();
  return server;
}

/** One master, `replicas` replicas and three sentinels (quorum 2). */
export async function sentinels(t, { replicas = 2, name = "mymaster", master } = {}) {
  master ??= await redis(t);
  const nodes = [master];
  for (let i = 0; i < replicas; i++) nodes.push(await redis(t, { args: ["--replicaof", "127.0.0.1", String(master.port)] }));
  const addresses = [];
  for (let i = 0; i < 3; i++) {
    const port = await freePort();
    const dir = join(directory(), "sentinel");
    mkdirSync(dir);
    const file = join(dir, "sentinel.conf");
    writeFileSync(
      file,
      [
        `port ${port}`,
        "bind 127.0.0.1",
        `dir ${dir}`,
        `sentinel monitor ${name} 127.0.0.1 ${master.port} 2`,
        `sentinel down-after-milliseconds ${name} 1000`,
        `sentinel failover-timeout ${name} 3000`,
      ].join("\n"),
    );
    const child = run("redis-server", [file, "--sentinel"]);
    t.after(() => kill(child));
    addresses.push({ host: "127.0.0.1", port });
  }
  const ask = new Redis(addresses[0].port, "127.0.0.1", { retryStrategy: () => 50 });
  ask.on("error", () => undefined);
  t.after(() => ask.disconnect());
  await until("the sentinels know each other and the replicas", async () => {
    const fields = await ask.sentinel("master", name);
    const value = (key) => Number(fields[fields.indexOf(key) + 1]);
    return value("num-other-sentinels") === 2 && value("num-slaves") === replicas;
  });
  await until("the replicas are in sync", async () => {
    const info = await master.client.info("replication");
    return (info.match(/state=online/g) ?? []).length === replicas;
  });
  return { name, addresses, nodes, ask, master: async () => Number((await ask.sentinel("get-master-addr-by-name", name))[1]) };
}
