import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JobsOptions, WorkerOptions } from "bullmq";
import { Attestor } from "./attestation.js";
import { dataDigest } from "./digest.js";
import { Drill } from "./drill.js";
import { DurableIntake, type IntakeConfig } from "./intake.js";
import type { Event, Journal, TransactionalJournal } from "./journal.js";
import { openProducer, shadowOf, type OpenProducer } from "./lane.js";
import type { Stamp, Work } from "./processor.js";
import { boundedAdd, UnavailableError, type Producer } from "./producer.js";
import { Recorder } from "./recorder.js";
import { RedisJournal } from "./redisjournal.js";
import { Router, type Lease } from "./router.js";
import type { Route, Side } from "./routing.js";
import { Routes, type FetchHandler, type Middleware } from "./routes.js";
import { Sides, type Servers } from "./sides.js";

export interface PipelineConfig<T extends object, Tx = unknown> extends Partial<Work<T, Tx>> {
  /** The routed queue: its name, or `prefix:name` where the prefix is not bull. */
  queue: string;
  /** The servers that the app may be told to use. */
  redis: Servers;
  /** Where the flags come from, and a worker token of Switchyard's. */
  switchyard: { url: string; token: string };
  /** Asked for by `/switchyard/*`: `ingestion.token` of Switchyard's configuration. */
  token: string;
  /** Keeps the last known flags, on a disk of this process alone. */
  dataDir: string;
  /** What the app is called, the same on every instance (default "app"). */
  service?: string | undefined;
  /** What this process is called, best the same after a restart. */
  instance: string;
  version?: string;
  /** Where what happened is written. Without one nothing can be proven of this app's orders. */
  journal?: Journal;
  /** Names an order (default: its `id`): the same at every delivery of it. */
  key?: (order: T) => string;
  /** The job's id (default: the order's name): the same at every delivery of an event. */
  jobId?: (order: T) => string;
  /** Options of a job, beside its id; with them 8 attempts from half a second on are replaced. */
  job?: JobsOptions | ((order: T) => JobsOptions);
  worker?: Omit<WorkerOptions, "connection">;
  /** Replicas that must confirm an order while the source is the Sentinel estate (default 1). */
  replicas?: number | undefined;
  /** Keep orders on disk before they are acknowledged, and enqueue them in the background. */
  durableIntake?: Pick<IntakeConfig, "dir" | "maxBytes" | "concurrency">;
  /**
   * Makes an order of what a provider's API tells of an event that it could not deliver; it has
   * no signature. What it throws is answered with 400. Without it replays are refused.
   */
  replay?: (provider: string, body: Buffer) => T | Promise<T>;
  /** Hosts at which a breaker drill's server may be, beside this one and Switchyard's. */
  drillHosts?: string[];
  /** Makes producers another way. */
  producer?: OpenProducer | undefined;
  /** Default: JSON lines on standard error. */
  log?: (event: string, detail: Record<string, unknown>) => void;
}

/** Where an order comes from. */
export interface Delivery {
  /** Who sent it (default: the service): `stripe`, `shopify`, ... */
  provider?: string;
  /** The provider's id of the event (default: the job's id). */
  event?: string;
  /** The answer to the provider: what it says in the end is what was promised. */
  response?: ServerResponse;
}

/** Where an order went; `kept`: to disk, to be enqueued as soon as that can be. */
export type Receipt = { kept: true } | { kept: false; side: Side; endpoint: string };

/** What of Nest's MiddlewareConsumer is needed here. */
interface NestConsumer {
  apply(middleware: Middleware): { forRoutes(...routes: string[]): unknown };
}

/** What may stand in a BullMQ job id as it is; a colon may not, nor a number alone. */
const identifier = /^(?!\d+$)[A-Za-z0-9_.-]{1,128}$/;

// The copy must not make the provider wait: half of what an authoritative add may take.
const shadowDeadlineMs = 1000;

const jobDefaults: JobsOptions = {
  attempts: 8,
  backoff: { type: "exponential", delay: 500 },
  removeOnComplete: { count: 1000 },
  removeOnFail: false,
};

/**
 * A queue of orders that Switchyard can move: it adds each where the flags say, runs it once, and
 * writes down what happened.
 *
 *     const orders = new Pipeline({ ...fromEnvironment(process.env), queue: "orders", journal, process });
 *     await orders.start();                 // adds jobs, in the web process
 *     await orders.worker();                // runs jobs, in the worker process or in the same
 *     app.use(orders.routes());             // before the body parsers
 *     await orders.enqueue(order, { provider: "stripe", response: res });
 *     await orders.close();                 // on SIGTERM
 */
export class Pipeline<T extends object, Tx = unknown> {
  readonly queue: string;
  readonly instance: string;
  readonly #config: PipelineConfig<T, Tx>;
  readonly #log: (event: string, detail: Record<string, unknown>) => void;
  readonly #service: string;
  readonly #recorder: Recorder | undefined;
  readonly #sides: Sides<T, Tx>;
  readonly #router: Router;
  readonly #attestor: Attestor;
  readonly #drill: Drill;
  readonly #durable: DurableIntake | undefined;
  readonly #routes: Routes;
  #opening: Promise<void> | undefined;
  #sends = false;
  #stopping = false;
  #busy = 0;

  constructor(config: PipelineConfig<T, Tx>) {
    this.#config = config;
    const { queue, instance, journal, service = "app" } = config;
    const url = config.switchyard.url.replace(/\/$/, "");
    const token = config.switchyard.token;
    if (journal instanceof RedisJournal) apart(journal, config.redis);
    this.queue = queue;
    this.instance = instance;
    this.#service = service;
    this.#log = config.log ?? toStandardError;
    const log = this.#log;
    const open = config.producer ?? openProducer;
    this.#recorder = journal && new Recorder(journal, instance, log);
    const { process: run, result, effects, transaction } = config;
    const work = run && { process: run, ...(result && { result }), ...(effects && { effects }) };
    const lanes = {
      service,
      queue,
      work: work && { ...work, ...(transaction && { transaction }) },
      key: this.#key,
      recorder: this.#recorder,
      journal: transaction ? transactional<Tx>(journal) : undefined,
      open,
      worker: config.worker,
      log,
    };
    this.#sides = new Sides(lanes, config.redis, config.replicas ?? 1);
    const named = { url, token, instance, service, version: config.version ?? "" };
    this.#router = new Router({
      ...named,
      queue,
      file: join(config.dataDir, "flags.json"),
      onChange: (snapshot) => this.#sides.follow(snapshot),
      onProgress: () => this.#attestor.kick(),
      log,
    });
    if (config.durableIntake) {
      this.#durable = new DurableIntake({
        ...config.durableIntake,
        deliver: ({ body }) => this.#deliver(JSON.parse(body.toString()) as T),
        log,
      });
      this.#recorder?.watch(() => {
        const { backlog, oldestAt } = this.#durable!.report();
        return { backlog, oldestAt };
      });
    }
    const recorder = this.#recorder;
    this.#attestor = new Attestor({
      ...named,
      bullmq: bullmqVersion(),
      router: this.#router,
      connections: () => this.#sides.connections(),
      ...(recorder && { journal: () => recorder.epoch, unwritten: () => recorder.unwritten }),
      ...(this.#durable && { intake: this.#durable }),
      log,
    });
    this.#drill = new Drill({
      producer: (address, name) =>
        open({ url: address }, { service, queue: name, side: "drill" }, 0, () => undefined),
      queues: [queue, shadowOf(queue)],
      hosts: ["127.0.0.1", "::1", new URL(url).hostname, ...(config.drillHosts ?? [])],
      instance,
      intake: this.#durable !== undefined,
    });
    this.#routes = new Routes({
      token: config.token,
      instance,
      recorder: this.#recorder,
      drill: this.#drill,
      canary: (id, wanted) => this.#canary(id, wanted),
      replay: (provider, body) => this.#replay(provider, body),
      ready: () => this.ready(),
      stopping: () => this.#stopping,
      log,
    });
  }

  /** Adds jobs from here on. */
  async start(): Promise<void> {
    this.#sends = true;
    this.#sides.send();
    await this.#open();
    await this.#durable?.start();
    this.#attestor.kick();
  }

  /** Runs jobs from here on; `start()` is not needed for that. */
  async worker(): Promise<void> {
    if (!this.#config.process) throw new Error("a worker needs `process`");
    await this.#open();
    await this.#sides.work();
    this.#attestor.kick();
  }

  /**
   * Adds an order on the side that has the authority over it, and a copy where the stage wants
   * one; with a durable intake it is on disk, and that comes later. It is the same job whenever it
   * comes again.
   * @throws UnavailableError when it is not certain that the order is there: answer 503, and let
   * the sender deliver it again.
   */
  async enqueue(order: T, from: Delivery = {}): Promise<Receipt> {
    const start = performance.now();
    const id = this.#key(order);
    const jobId = this.#jobId(order);
    const { provider = this.#service, event = jobId, response } = from;
    let error: string | undefined;
    this.#admit();
    this.#busy++;
    try {
      if (!this.#durable) return { kept: false, ...(await this.#add(order)) };
      await this.#durable.accept({ id: jobId, body: JSON.stringify(order) });
      this.record({ type: "kept", order: id, event, provider });
      return { kept: true };
    } catch (err) {
      error = (err as Error).message;
      throw err;
    } finally {
      const ms = Math.round(performance.now() - start);
      const told = { type: "delivery", order: id, event, provider, canary: false } as const;
      const failed = error !== undefined && { error };
      this.#answered(response, error ? 503 : 200, (status) => {
        this.record({ ...told, status, ms, ...failed });
        this.#busy--;
      });
    }
  }

  /**
   * Has `add` called for each server that an order goes to, for apps that add jobs themselves: the
   * producer's queue there, and the data with its stamp. Give it the same `jobId` each time.
   * @throws what `add` throws for the side that has the authority; a copy that fails is logged.
   */
  async route(
    order: T,
    add: (place: { producer: Producer; data: object; shadow: boolean }) => Promise<unknown>,
  ): Promise<void> {
    this.#admit();
    await this.#everywhere(this.#key(order), async (lane, route, shadow) => {
      const data = { ...order, _switchyard: stampOf(route) };
      try {
        if (typeof lane === "string") throw new UnavailableError(lane);
        await lane.use(shadow ? "shadow" : "main", (producer) => add({ producer, data, shadow }));
      } catch (err) {
        if (!shadow) throw err;
        this.#log("copy-failed", { queue: this.queue, error: (err as Error).message });
      }
    });
  }

  /** Writes an event into the journal, such as a delivery that was refused before it was an order. */
  record(event: Event): void {
    this.#recorder?.record(event);
  }

  /** Whether an order that came now would be acknowledged, whichever side it belongs to. */
  ready(): { ok: boolean; missing: Side[]; journal: boolean } {
    const { snapshot } = this.#router;
    const { stage, ramp } = snapshot;
    const moved = stage === "rampdown" || stage === "complete";
    const source = moved || (stage === "live" && ramp === 100) ? [] : (["source"] as const);
    const target = moved || (stage === "live" && ramp > 0) ? (["target"] as const) : [];
    // With durable intake the disk decides, not the queue; a process that only works takes none.
    const needed = this.#durable || !this.#sends ? [] : [...source, ...target];
    const missing = needed.filter((side) => {
      const lane = this.#sides.lane(side, snapshot);
      return typeof lane === "string" || !lane.ready;
    });
    const journal = this.#recorder?.healthy ?? true;
    const ok = missing.length === 0 && journal && !this.#stopping;
    return { ok, missing, journal };
  }

  /**
   * `/switchyard/*`, `/healthz` and `/readyz` for node:http, Express 4 and 5, Connect and Nest's
   * `app.use`. Without `next` everything else is answered with 404. Put it before body parsers:
   * a replay's amounts must not pass through a double.
   */
  routes(): Middleware {
    return this.#routes.middleware();
  }

  /** The same for Hono and other servers of the Fetch API: undefined for another address. */
  fetch(): FetchHandler {
    return this.#routes.fetch();
  }

  /** The same as a plugin of Fastify: `app.register(orders.fastify())`. */
  fastify(): ReturnType<Routes["fastify"]> {
    return this.#routes.fastify();
  }

  /** The same as a module of Nest: `imports: [orders.nest()]`. It starts and closes the pipeline. */
  nest({ worker = false }: { worker?: boolean } = {}): object {
    const pipeline: Pipeline<T, Tx> = this;
    class SwitchyardModule {
      async onModuleInit(): Promise<void> {
        await pipeline.start();
        if (worker) await pipeline.worker();
      }
      async onApplicationShutdown(): Promise<void> {
        await pipeline.close();
      }
      // By name: what stands for any path differs from one version of Nest to the next.
      configure(consumer: NestConsumer): void {
        consumer.apply(pipeline.routes()).forRoutes(...pipeline.#routes.paths());
      }
    }
    const providers = [{ provide: Pipeline, useValue: this }];
    return { module: SwitchyardModule, providers, exports: [Pipeline], global: true };
  }

  /**
   * Finishes what is under way, each part bounded, leaves the journal in good order, and says
   * goodbye. Until it resolves the journal is still served, so call it before the server ends.
   */
  async close(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    if (!this.#opening) return;
    await this.#opening.catch(() => undefined);
    for (const until = Date.now() + 5000; this.#busy > 0 && Date.now() < until; ) await sleep(20);
    await this.#drill.close();
    await this.#durable?.close(5000);
    await this.#router.close();
    await within(10_000, this.#sides.close());
    await this.#recorder?.leave(3000);
    await this.#attestor.close();
    await this.#recorder?.close();
  }

  readonly #key = (order: T): string => {
    const id: unknown = (this.#config.key ?? ((o: T) => (o as { id?: unknown }).id))(order);
    if (typeof id !== "string" || id === "") throw new TypeError("the order has no id; see `key`");
    return id;
  };

  #jobId(order: T): string {
    const id = (this.#config.jobId ?? this.#key)(order);
    return identifier.test(id) ? id : `sha256-${createHash("sha256").update(id).digest("hex")}`;
  }

  #open(): Promise<void> {
    this.#opening ??= (async () => {
      await this.#recorder?.open();
      await this.#router.start();
      this.#attestor.start();
    })();
    return this.#opening;
  }

  #admit(): void {
    if (this.#stopping) throw new UnavailableError("this instance is stopping");
    if (!this.#sends) throw new Error("call start() before orders are added");
  }

  async #deliver(order: T): Promise<void> {
    await this.#add(order);
  }

  // Adds an order, and gives the side that has the authority over it.
  async #add(order: T, canary?: string): Promise<{ side: Side; endpoint: string }> {
    const id = canary ?? this.#key(order);
    const jobId = canary ? `switchyard_${canary}` : this.#jobId(order);
    const { job } = this.#config;
    const more = canary ? {} : typeof job === "function" ? job(order) : (job ?? {});
    let authority: { side: Side; endpoint: string } | undefined;
    await this.#everywhere(id, async (lane, route, shadow, side) => {
      const data = { ...order, _switchyard: { ...stampOf(route), ...(canary && { canary: true }) } };
      const one = { name: this.queue, data, opts: { ...jobDefaults, ...more, jobId } };
      let endpoint: string = side === "source" ? route.sourceEndpoint : "managed";
      let error: string | undefined;
      if (typeof lane === "string") error = lane;
      else {
        endpoint = lane.endpoint;
        const deadline = shadow ? shadowDeadlineMs : undefined;
        try {
          await lane.use(shadow ? "shadow" : "main", (p) => boundedAdd(p, one, deadline));
        } catch (err) {
          error = (err as Error).message;
        }
      }
      const { stage, revision } = route;
      this.record({
        type: "enqueued",
        order: id,
        jobId,
        queue: this.queue,
        side,
        endpoint,
        shadow,
        ok: !error,
        ...(error && { error }),
        stage,
        revision,
        authority: route.authority,
        canary: canary !== undefined,
        digest: dataDigest(data),
      });
      if (!shadow) authority = { side, endpoint };
      if (error && !shadow) throw new PlacedError(error, side, endpoint);
    });
    return authority!;
  }

  // The authority first; the copy within the same request: should this process die here, the
  // provider delivers again and the copy is made up for.
  async #everywhere(
    key: string,
    add: (
      lane: ReturnType<Sides<T, Tx>["lane"]>,
      route: Route,
      shadow: boolean,
      side: Side,
    ) => Promise<void>,
  ): Promise<void> {
    const lease: Lease = this.#router.begin();
    try {
      const route = lease.route(key);
      const lane = (side: Side) => this.#sides.lane(side, lease.snapshot);
      await add(lane(route.authority), route, false, route.authority);
      if (route.shadow) await add(lane(route.shadow), route, true, route.shadow);
    } finally {
      lease.end();
    }
  }

  // Who sends a canary wants to know how the queue fares, so a durable intake is not asked.
  async #canary(id: string, wanted: unknown): Promise<{ status: number; body: object }> {
    const start = performance.now();
    const { queue } = this;
    if (wanted !== undefined && wanted !== queue) {
      const error = `this app adds to ${queue}, not to ${String(wanted)}`;
      return { status: 422, body: { error } };
    }
    let place: { side?: Side; endpoint?: string } = {};
    let error: string | undefined;
    this.#busy++;
    try {
      this.#admit();
      place = await this.#add({ id } as unknown as T, id);
    } catch (err) {
      error = (err as Error).message;
      if (err instanceof PlacedError) place = { side: err.side, endpoint: err.endpoint };
    } finally {
      this.#busy--;
    }
    const ms = Math.round(performance.now() - start);
    const status = error ? 503 : 200;
    const failed = error !== undefined && { error };
    const told = { type: "delivery", order: id, event: id, provider: "switchyard" } as const;
    this.record({ ...told, status, ms, ...failed, canary: true });
    return { status, body: { status, ms, queue, ...place, ...failed } };
  }

  // Whoever fetches an event again wants to know that it is enqueued: past the durable intake.
  async #replay(provider: string, body: Buffer): Promise<{ status: number; body: object }> {
    const { replay } = this.#config;
    if (!replay) return { status: 422, body: { error: "this app takes in no replays" } };
    let order: T;
    try {
      order = await replay(provider, body);
    } catch (err) {
      const status = err instanceof RefusedError ? 422 : 400;
      return { status, body: { error: (err as Error).message } };
    }
    const start = performance.now();
    let error: string | undefined;
    this.#busy++;
    try {
      this.#admit();
      await this.#add(order);
    } catch (err) {
      error = (err as Error).message;
    } finally {
      this.#busy--;
    }
    const ms = Math.round(performance.now() - start);
    const [id, event] = [this.#key(order), this.#jobId(order)];
    const failed = error !== undefined && { error };
    const told = { type: "delivery", order: id, event, provider, canary: false } as const;
    this.record({ ...told, status: error ? 503 : 200, ms, ...failed });
    return error ? { status: 503, body: { error } } : { status: 200, body: { received: true } };
  }

  // What was promised is what the provider got to see.
  #answered(
    response: ServerResponse | undefined,
    status: number,
    record: (status: number) => void,
  ): void {
    if (!response || response.writableFinished) {
      record(response?.statusCode ?? status);
      return;
    }
    response.once("close", () => record(response.headersSent ? response.statusCode : 499));
  }
}

/** What `replay` throws when the app takes nothing of the provider: answered with 422. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** Where an order could not be added. */
class PlacedError extends UnavailableError {
  constructor(
    message: string,
    readonly side: Side,
    readonly endpoint: string,
  ) {
    super(message);
  }
}

function stampOf({ authority, stage, revision }: Route): Stamp {
  return { authority, stage, revision };
}

function transactional<Tx>(journal: Journal | undefined): TransactionalJournal<Tx> {
  if (journal && "transaction" in journal) return journal as TransactionalJournal<Tx>;
  throw new Error("`transaction` needs a journal that has some, such as PostgresJournal");
}

// A journal on a server that is migrated would be moved, fenced or gone with it.
function apart(journal: RedisJournal, servers: Servers): void {
  const own = addresses(journal.redis);
  for (const [name, endpoint] of Object.entries(servers)) {
    const same = endpoint && addresses(endpoint).find((address) => own.includes(address));
    if (same) throw new Error(`the journal is on the ${name} server, ${same}: give it its own`);
  }
}

function addresses(endpoint: NonNullable<Servers["target"]>): string[] {
  if ("sentinels" in endpoint) return endpoint.sentinels.map(({ host, port }) => `${host}:${port}`);
  const { hostname, port } = new URL(endpoint.url);
  return [`${hostname}:${port || 6379}`];
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

function bullmqVersion(): string {
  return (createRequire(__filename)("bullmq/package.json") as { version: string }).version;
}

function toStandardError(event: string, detail: Record<string, unknown>): void {
  process.stderr.write(JSON.stringify({ event, at: new Date().toISOString(), ...detail }) + "\n");
}
