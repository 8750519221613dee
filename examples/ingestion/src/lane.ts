import {
  Consumer,
  Producer,
  producerOptions,
  reportConsumer,
  reportProducer,
  workerOptions,
  type ConnectionReport,
  type Endpoint,
  type Purpose,
  type Side,
} from "@switchyard/bullmq";
import type { WorkerOptions } from "bullmq";
import type { Journal } from "./journal.js";
import { log } from "./log.js";
import { executionOf, processor } from "./processor.js";

/** The queue that holds the copies of a routed queue's orders. */
export const shadowOf = (queue: string): string => `${queue}-shadow`;

const closeMs = 5000;

const workerTuning: Omit<WorkerOptions, "connection"> = {
  concurrency: 20,
  // A killed worker's jobs are free after these, not after BullMQ's 30 s each.
  lockDuration: 10_000,
  stalledInterval: 3000,
  // A job caught by several crashes is still an order; the sink tells a second run from a first.
  maxStalledCount: 25,
};

export interface LaneConfig {
  side: Side;
  endpoint: string;
  service: string;
  queue: string;
  connection: Endpoint;
  journal: Journal;
  open: OpenProducer;
  replicas: number;
}

/** Makes a producer for a queue of an endpoint. */
export type OpenProducer = (endpoint: Endpoint, purpose: Purpose, replicas: number, onError: (err: Error) => void) => Producer;

/** The one way in which this app makes producers; drills go the same way. */
export const openProducer: OpenProducer = (endpoint, purpose, replicas, onError) =>
  new Producer({ queue: purpose.queue, connection: producerOptions(endpoint, purpose), replicas, onError });

/** Every connection of one side to one server: two producers, a worker, and a shadow worker while wanted. */
export class Lane {
  readonly side: Side;
  readonly endpoint: string;
  readonly #config: LaneConfig;
  readonly #producers: Record<"main" | "shadow", Producer>;
  #worker: Consumer | undefined;
  #shadowWorker: Consumer | undefined;
  #users = 0;
  #idle: (() => void) | undefined;

  constructor(config: LaneConfig) {
    this.#config = config;
    this.side = config.side;
    this.endpoint = config.endpoint;
    this.#producers = {
      main: this.#producer(config.queue, config.replicas),
      shadow: this.#producer(shadowOf(config.queue), 0),
    };
  }

  get ready(): boolean {
    return this.#producers.main.ready;
  }

  waitReady(ms: number): Promise<boolean> {
    return this.#producers.main.waitReady(ms);
  }

  /** Lends a producer; the lane outlives its use. */
  async use<T>(which: "main" | "shadow", work: (producer: Producer) => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await work(this.#producers[which]);
    } finally {
      if (--this.#users === 0) this.#idle?.();
    }
  }

  startWorker(): void {
    this.#worker ??= this.#consumer(this.#config.queue, "authoritative");
  }

  /** Starts or stops executing shadow copies. */
  async runShadow(wanted: boolean): Promise<void> {
    if (wanted) {
      this.#shadowWorker ??= this.#consumer(shadowOf(this.#config.queue), "shadow");
      return;
    }
    const worker = this.#shadowWorker;
    this.#shadowWorker = undefined;
    await worker?.close(closeMs);
  }

  /** Lets requests and jobs in progress finish, each bounded, then leaves the server without a connection. */
  async retire(): Promise<void> {
    await this.#drained(closeMs);
    const workers = [this.#worker, this.#shadowWorker];
    this.#worker = this.#shadowWorker = undefined;
    const graceful = await Promise.all(workers.map((worker) => worker?.close(closeMs)));
    for (const producer of Object.values(this.#producers)) producer.close();
    log("side-closed", { side: this.side, endpoint: this.endpoint, graceful: !graceful.includes(false) });
  }

  connections(): ConnectionReport[] {
    const { queue } = this.#config;
    const reports = [
      reportProducer(this, queue, this.#producers.main),
      reportProducer(this, shadowOf(queue), this.#producers.shadow),
    ];
    if (this.#worker) reports.push(reportConsumer(this, "worker", queue, this.#worker));
    if (this.#shadowWorker) reports.push(reportConsumer(this, "shadow-worker", shadowOf(queue), this.#shadowWorker));
    return reports;
  }

  async #drained(ms: number): Promise<void> {
    if (this.#users === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }

  #producer(queue: string, replicas: number): Producer {
    const { open, connection, service, side } = this.#config;
    return open(connection, { service, queue, side }, replicas, this.#reporter("producer", queue));
  }

  #consumer(queue: string, mode: "authoritative" | "shadow"): Consumer {
    const { connection, journal, service, side } = this.#config;
    const consumer = new Consumer({
      queue,
      connection: workerOptions(connection, { service, queue, side }),
      process: processor(this, mode, journal),
      worker: workerTuning,
      onError: this.#reporter("worker", queue),
    });
    consumer.worker.on("failed", (job, err) => {
      if (job) journal.record({ type: "failed", ...executionOf(this, mode, job), error: err.message });
    });
    return consumer;
  }

  // A server that is away yields the same error several times a second; one line per change is enough.
  #reporter(role: string, queue: string): (err: Error) => void {
    let last = "";
    return (err) => {
      if (err.message === last) return;
      last = err.message;
      log("redis-error", { side: this.side, endpoint: this.endpoint, role, queue, error: err.message });
    };
  }
}
