// The packed package in projects that know nothing of this repository, with each pair of bullmq and ioredis that it may be
// beside, installed by npm and pnpm, in an ES module, in CommonJS and by TypeScript's eyes. Needs the registry.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { directory, redis } from "./redis.mjs";

const run = promisify(execFile);
const here = dirname(dirname(new URL(import.meta.url).pathname));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

// A team's own use of it, with \`load\` as its kind of module does that.
const app = (load) => `${load}
const ran = [];
const orders = new Pipeline({
  ...fromEnvironment(process.env),
  queue: "orders",
  journal: new RedisJournal({ redis: { url: process.env.JOURNAL_URL } }),
  process: async (order) => void ran.push(order.id),
});
(async () => {
  await orders.start();
  await orders.worker();
  for (const id of ["a", "b", "a"]) await orders.enqueue({ id }, { provider: "shop" });
  const http = createServer(orders.routes()).listen(0, "127.0.0.1", async () => {
    const url = "http://127.0.0.1:" + http.address().port + "/switchyard/journal";
    const headers = { Authorization: "Bearer " + process.env.INGESTION_TOKEN };
    let applied = [];
    while (applied.length < 2) {
      const { events } = await (await fetch(url, { headers })).json();
      applied = events.filter((e) => e.outcome === "applied").map((e) => e.order);
    }
    // a server must know its connections from a stranger's
    const named = new Producer({ queue: "orders", connection: producerOptions({ url: process.env.SOURCE_REDIS_URL }, { service: "shop", queue: "orders", side: "source" }) });
    while (!reportProducer({ side: "source", endpoint: "standalone" }, "orders", named).clientIds) await new Promise((r) => setTimeout(r, 20));
    named.close();
    await orders.close();
    http.close();
    console.log(JSON.stringify({ ran: ran.sort(), applied: applied.sort() }));
  });
})();
`;

const imports = `import { createServer } from "node:http";
import { fromEnvironment, Pipeline, Producer, producerOptions, RedisJournal, reportProducer } from "@switchyard/bullmq";`;
const requires = `const { createServer } = require("node:http");
const { fromEnvironment, Pipeline, Producer, producerOptions, RedisJournal, reportProducer } = require("@switchyard/bullmq");`;
const typed = `import { Pipeline, PostgresJournal, UnavailableError, type PgClient } from "@switchyard/bullmq";
import { journalRules } from "@switchyard/bullmq/testing";
interface Order { id: string; cents: number }
declare const pool: ConstructorParameters<typeof PostgresJournal>[0];
export const orders = new Pipeline<Order, PgClient>({
  queue: "orders", redis: {}, switchyard: { url: "", token: "" }, token: "", dataDir: "", instance: "",
  journal: new PostgresJournal(pool), transaction: true,
  process: async (order, { tx, attempt }) => void (await tx.query("SELECT $1", [order.cents + attempt])),
});
export const names: string[] = journalRules.map((rule) => rule.name);
export const refused = (err: unknown): boolean => err instanceof UnavailableError;
// @ts-expect-error An order has no such field.
void orders.enqueue({ id: "a", cent: 1 });
`;

const pairs = [
  { bullmq: "5.16.0", ioredis: "5.4.1" },
  { bullmq: "5.81.3", ioredis: "5.11.1" },
  { bullmq: "5.81.3", ioredis: "6.0.0" },
  { bullmq: "6.7.0", ioredis: "6.0.0" },
];
const managers = {
  npm: ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
  pnpm: ["npx", "--yes", "pnpm@10.34.8", "install", "--ignore-scripts", "--prefer-offline"],
};

describe("packed", { concurrency: 2 }, () => {
  const ends = [];
  let tarball;
  // Once: it is built anew for it, and two builds at a time would pack each other's halves.
  before(async () => {
    const dir = directory({ after: (end) => ends.push(end) });
    const packed = await run("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: here });
    tarball = join(dir, packed.stdout.trim().split("\n").at(-1));
  });
  after(() => ends.forEach((end) => end()));

  for (const [manager, install] of Object.entries(managers)) {
    for (const pair of pairs) {
      test(`${manager}: bullmq ${pair.bullmq}, ioredis ${pair.ioredis}`, async (t) => {
        const project = directory();
        writeFileSync(join(project, "package.json"), JSON.stringify({ name: "shop", private: true, dependencies: { ...pair, "@switchyard/bullmq": `file:${tarball}` } }));
        await run(install[0], install.slice(1), { cwd: project });
        const version = (name) => JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8")).version;
        assert.deepEqual({ bullmq: version("bullmq"), ioredis: version("ioredis") }, pair);

        for (const [name, load] of [["app.mjs", imports], ["app.cjs", requires]]) {
          const [source, journal] = [await redis(t), await redis(t)];
          writeFileSync(join(project, name), app(load));
          const env = { SOURCE_REDIS_URL: source.url, JOURNAL_URL: journal.url, SWITCHYARD_URL: "http://127.0.0.1:1", SWITCHYARD_TOKEN: "none", INGESTION_TOKEN: "secret", DATA_DIR: join(project, name + ".data") };
          const { stdout } = await run(process.execPath, [name], { cwd: project, env: { PATH: process.env.PATH, ...env }, timeout: 60_000 });
          assert.deepEqual(JSON.parse(stdout), { ran: ["a", "b"], applied: ["a", "b"] }, name);
        }
        writeFileSync(join(project, "typed.mts"), typed);
        const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--types", "node", "--typeRoots", join(here, "../../node_modules/@types")];
        await run(process.execPath, [tsc, ...options, "--module", "nodenext", "typed.mts"], { cwd: project }).catch((err) => assert.fail(err.stdout));
      });
    }
  }
});
