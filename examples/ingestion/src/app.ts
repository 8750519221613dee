import { once } from "node:events";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Attestor, Drill, DurableIntake, Router, UnavailableError } from "@switchyard/bullmq";
import type { Config } from "./config.js";
import { Intake } from "./intake.js";
import { Journal } from "./journal.js";
import { openProducer, shadowOf, type OpenProducer } from "./lane.js";
import { log } from "./log.js";
import type { Order } from "./order.js";
import { server } from "./server.js";
import { Sides } from "./sides.js";

const require = createRequire(import.meta.url);
const version = (require("../package.json") as { version: string }).version;
const bullmq = (require("bullmq/package.json") as { version: string }).version;

/** What a test may make otherwise. */
export interface Options {
  /** Makes producers. */
  open?: OpenProducer;
  /** Unix ms, against which the times in signatures are held. */
  now?: () => number;
}

/** Opens everything, serves until SIGTERM or SIGINT, then lets work in progress finish. */
export async function run(config: Config, { open = openProducer, now = Date.now }: Options = {}): Promise<void> {
  const stop = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  const { queue, service } = config;
  const journal = await Journal.open(config.dataDir, log, config.sinkDir);
  const sides = new Sides(config, journal, open);
  let attestor: Attestor | undefined;
  const router = new Router({
    url: config.switchyardUrl,
    token: config.switchyardToken,
    queue,
    instance: config.instance,
    service,
    version,
    file: join(config.dataDir, "flags.json"),
    onChange: (snapshot) => sides.follow(snapshot),
    onProgress: () => attestor?.kick(),
    log,
  });
  await router.start();
  const intake = new Intake(router, sides, journal, queue);
  const durable = config.durableIntake
    ? new DurableIntake({
        dir: join(config.dataDir, "intake"),
        deliver: async ({ body }) => {
          const { error } = await intake.accept(JSON.parse(body.toString()) as Order);
          if (error) throw new UnavailableError(error);
        },
        log,
      })
    : undefined;
  await durable?.start();
  attestor = new Attestor({
    url: config.switchyardUrl,
    token: config.switchyardToken,
    service,
    instance: config.instance,
    version,
    bullmq,
    router,
    connections: () => sides.connections(),
    journal: journal.epoch,
    ...(durable && { intake: durable }),
    log,
  });
  attestor.start();

  const drill = new Drill({
    producer: (url, name) => open({ url }, { service, queue: name, side: "drill" }, 0, () => undefined),
    queues: [queue, shadowOf(queue)],
    hosts: ["127.0.0.1", "::1", new URL(config.switchyardUrl).hostname],
    instance: config.instance,
    intake: config.durableIntake,
  });
  let stopping = false;
  const http = server({ config, router, sides, intake, durable, journal, drill, stopping: () => stopping, now });
  // Requests that may write to the journal.
  let busy = 0;
  http.on("request", (req, res) => {
    if (req.url?.startsWith("/switchyard/journal")) return;
    busy++;
    res.once("close", () => busy--);
  });
  http.listen(config.port, config.host);
  await once(http, "listening");
  log("listening", { port: (http.address() as AddressInfo).port, instance: config.instance });

  log("stopping", { signal: await stop });
  stopping = true;
  for (const until = Date.now() + 5000; busy > 0 && Date.now() < until; ) await sleep(20);
  await drill.close();
  await durable?.close(5000);
  await router.close();
  await within(10_000, sides.close());
  await journal.finish(3000);
  const closed = once(http, "close");
  http.close();
  http.closeIdleConnections();
  await within(5000, closed);
  http.closeAllConnections();
  await attestor.close();
  journal.close();
  log("stopped");
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

/** Runs as a program: ends the process when it is done, with 1 when it could not. */
export async function start(config: () => Config, options?: Options): Promise<never> {
  try {
    await run(config(), options);
    // Connections to a server that is gone may still hold timers.
    process.exit(0);
  } catch (err) {
    log("failed", { error: (err as Error).message });
    process.exit(1);
  }
}
