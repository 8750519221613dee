import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DurableIntake } from "./intake.js";
import { boundedAdd, UnavailableError, type Producer } from "./producer.js";

/**
 * What a drill asks for: a producer of the app's own kind to a server of the drill's, an add on it, or its end. With `intake` a durable intake stands
 * before the producer: an add is acknowledged from disk, `restart` is what a restart of the process does to both, `backlog` tells what is not delivered yet.
 */
export type DrillRequest =
  | { op: "open"; id: string; url: string; queue: string; intake: boolean }
  | { op: "add"; id: string; job: string }
  | { op: "restart" | "backlog" | "close"; id: string };

export interface DrillAnswer {
  /** HTTP status to answer with; an add gets what a webhook would: 200 or 503. */
  status: number;
  body: DrillBody & { status: number; ms: number };
}

interface DrillBody {
  error?: string;
  /** To open: whether it was connected in time. */
  ready?: boolean;
  /** To open: whether the app has a durable intake. */
  intake?: boolean;
  /** To open: which instance of the app answers. */
  instance?: string;
  /** To backlog: events on disk that are not delivered, and why the last delivery that failed did. */
  backlog?: number;
  failure?: string;
}

export interface DrillConfig {
  /** Makes a producer exactly as the app does for that queue of its own. */
  producer: (url: string, queue: string) => Producer;
  /** The queues that the app adds to. */
  queues: string[];
  /** Hosts that a drill may name. Anything else is refused: the caller must not choose where the app connects to. */
  hosts: string[];
  /** Whether the app acknowledges from disk (`DurableIntake`): drills then try that as well, in folders of their own (default false). */
  intake?: boolean;
  /** Names this instance of the app in the drill's report. */
  instance?: string;
  /** How long a producer is kept when nobody closes it, ms (default 120000): a drill that loses contact leaves nothing behind. */
  keepMs?: number;
}

const most = 4;
const readyMs = 2500;
const folderPrefix = "switchyard-drill-";

/**
 * Tries the app's own connection options on servers that only a drill uses. It touches none of the app's real connections.
 */
export class Drill {
  readonly #config: DrillConfig;
  readonly #open = new Map<string, Rig>();

  constructor(config: DrillConfig) {
    this.#config = config;
  }

  /** Serves one request. It never throws; what is malformed or must not be is answered with 400, a queue that is none of the app's with 422. */
  async handle(request: unknown): Promise<DrillAnswer> {
    const start = performance.now();
    const answer = (status: number, rest: DrillBody = {}): DrillAnswer => ({
      status,
      body: { status, ms: Math.round(performance.now() - start), ...rest },
    });
    const r = parse(request);
    if (typeof r === "string") return answer(400, { error: r });
    try {
      return answer(...(await this.#serve(r)));
    } catch (err) {
      // An app without the safe add meets other errors, which its framework would make a 500 of.
      return answer(err instanceof UnavailableError ? 503 : 500, { error: (err as Error).message });
    }
  }

  async #serve(r: DrillRequest): Promise<[status: number, rest?: DrillBody]> {
    if (r.op === "open") return this.#begin(r);
    if (r.op === "close") {
      await this.#close(r.id);
      return [200];
    }
    const rig = this.#open.get(r.id);
    if (!rig) return [404, { error: `no producer ${r.id} is open${this.#config.instance ? ` on ${this.#config.instance}` : ""}` }];
    if (r.op === "add") {
      await rig.add(r.job);
      return [200];
    }
    if (!rig.intake) return [400, { error: `${r.id} was opened without an intake` }];
    if (r.op === "restart") {
      await rig.restart();
      return [200];
    }
    const { backlog, lastError } = rig.intake.report();
    return [200, { backlog, ...(lastError && { failure: lastError }) }];
  }

  async #begin(r: DrillRequest & { op: "open" }): Promise<[status: number, rest: DrillBody]> {
    const { hosts, queues, instance, keepMs = 120_000, intake = false, producer } = this.#config;
    if (this.#open.has(r.id)) return [409, { error: `a producer ${r.id} is open` }];
    if (this.#open.size >= most) return [409, { error: `${most} producers are open: close one` }];
    const host = hostOf(r.url);
    if (!host || !hosts.includes(host)) return [400, { error: `host ${host ?? "unknown"} is none of ${hosts.join(", ")}` }];
    if (!queues.includes(r.queue)) return [422, { error: `queue ${r.queue} is none of ${queues.join(", ")}` }];
    if (r.intake && !intake) return [400, { error: "this app has no durable intake" }];
    const rig = new Rig(() => producer(r.url, r.queue), r.intake);
    this.#open.set(r.id, rig);
    rig.timer = setTimeout(() => void this.#close(r.id), keepMs).unref();
    try {
      await rig.start();
    } catch (err) {
      await this.#close(r.id);
      throw err;
    }
    return [200, { ready: await rig.producer.waitReady(readyMs), intake, ...(instance && { instance }) }];
  }

  /** Ends every producer of a drill, and removes what its intakes kept. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.#close(id)));
  }

  async #close(id: string): Promise<void> {
    const rig = this.#open.get(id);
    this.#open.delete(id);
    await rig?.close();
  }
}

/** A producer under a drill, with a durable intake before it where one is wanted. */
class Rig {
  producer: Producer;
  intake: DurableIntake | undefined;
  timer: NodeJS.Timeout | undefined;
  readonly #make: () => Producer;
  readonly #durable: boolean;
  #dir: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(make: () => Producer, durable: boolean) {
    this.#make = make;
    this.#durable = durable;
    this.producer = make();
  }

  start(): Promise<void> {
    return this.#inTurn(() => this.#startIntake());
  }

  async add(job: string): Promise<void> {
    if (this.intake) await this.intake.accept({ id: job, body: "" });
    else await enqueue(this.producer, job);
  }

  /** What is not delivered stays on disk, and the next producer is made while the server may be away. */
  restart(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#stop();
      this.producer = this.#make();
      await this.#startIntake();
    });
  }

  close(): Promise<void> {
    clearTimeout(this.timer);
    return this.#inTurn(async () => {
      await this.#stop();
      if (this.#dir) rmSync(this.#dir, { recursive: true, force: true });
    });
  }

  async #startIntake(): Promise<void> {
    if (!this.#durable) return;
    const { producer } = this;
    this.#dir ??= mkdtempSync(join(tmpdir(), folderPrefix));
    this.intake = new DurableIntake({ dir: this.#dir, deliver: (event) => enqueue(producer, event.id) });
    await this.intake.start();
  }

  async #stop(): Promise<void> {
    await this.intake?.close();
    this.producer.close();
  }

  // A folder that is being removed must not be started on.
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function enqueue(producer: Producer, job: string): Promise<void> {
  return boundedAdd(producer, { name: "drill", data: {}, opts: { jobId: job } });
}

function parse(request: unknown): DrillRequest | string {
  const r = request as Partial<Record<string, unknown>> | null;
  const text = (name: string): string | undefined => (typeof r?.[name] === "string" && (r[name] as string).length <= 500 ? (r[name] as string) : undefined);
  const op = text("op");
  const id = text("id");
  if (!id || !/^[\w-]{1,64}$/.test(id)) return "id: 1 to 64 letters, digits, _ or -";
  if (op === "restart" || op === "backlog" || op === "close") return { op, id };
  if (op === "open") {
    const url = text("url");
    const queue = text("queue");
    return url && queue ? { op, id, url, queue, intake: r?.["intake"] === true } : "url or queue is missing";
  }
  if (op === "add") {
    const job = text("job");
    return job && /^[\w-]{1,64}$/.test(job) ? { op, id, job } : "job: 1 to 64 letters, digits, _ or -";
  }
  return "op: open, add, restart, backlog or close";
}

function hostOf(url: string): string | undefined {
  try {
    const u = new URL(url);
    return u.protocol === "redis:" ? u.hostname.replace(/^\[|\]$/g, "") : undefined;
  } catch {
    return undefined;
  }
}
