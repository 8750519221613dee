// A real PostgreSQL server of one test file: on loopback, on a free port, with a data folder of its own.
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort, kill, run, until } from "./redis.mjs";

/** Starts it; `stop`, `start`, `freeze` and `thaw` act on the real process. `t` may be node:test's `{ after }`. */
export async function postgres(t) {
  const dir = mkdtempSync(join(tmpdir(), "switchyard-pg-"));
  const password = "tester";
  const passwords = join(dir, "password");
  writeFileSync(passwords, password);
  const account = {};
  if (process.getuid?.() === 0) {
    // PostgreSQL does not run as root; its package has made an account.
    const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
    Object.assign(account, { uid: id("-u"), gid: id("-g") });
    for (const path of [dir, passwords]) chownSync(path, account.uid, account.gid);
  }
  const data = join(dir, "data");
  const options = { cwd: dir, env: { ...process.env, LC_ALL: "C" }, ...account };
  execFileSync(program("initdb"), ["-D", data, "-E", "UTF8", "--locale=C", "-U", "tester", "--auth=scram-sha-256", `--pwfile=${passwords}`, "--no-sync"], { ...options, stdio: "pipe" });
  const port = await freePort();
  const url = `postgres://tester:${password}@127.0.0.1:${port}/postgres`;
  let child;
  const server = {
    url,
    async start() {
      const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB"].flatMap((s) => ["-c", s]);
      await until("PostgreSQL takes connections", async () => {
        if (!child || child.exitCode !== null || child.signalCode !== null) {
          child = run(program("postgres"), ["-D", data, "-p", String(port), ...settings], options);
        }
        const client = new pg.Client({ connectionString: url });
        client.on("error", () => undefined);
        try {
          await client.connect();
          return true;
        } finally {
          await client.end().catch(() => undefined);
        }
      });
    },
    stop: () => kill(child),
  };
  t.after(async () => {
    await kill(child);
    await until("its processes are gone", () => (rmSync(dir, { recursive: true, force: true }), true));
  });
  await server.start();
  return server;
}

// Debian keeps them out of PATH.
function program(name) {
  const folders = (process.env.PATH ?? "").split(":");
  const debian = "/usr/lib/postgresql";
  if (existsSync(debian)) folders.push(...readdirSync(debian).map((version) => join(debian, version, "bin")));
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (!found) throw new Error(`PostgreSQL's ${name} is missing: install the server with make setup-test`);
  return found;
}
