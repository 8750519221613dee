import type { WorkerOptions } from "bullmq";
import { reportConsumer, reportProducer, type ConnectionReport } from "./attestation.js";
import { Consumer } from "./consumer.js";
import type { Execution, TransactionalJournal } from "./journal.js";
import { producerOptions, workerOptions, type Endpoint, type Purpose } from "./options.js";
import { executionOf, processor, type Work } from "./processor.js";
import { Producer } from "./producer.js";
import type { Recorder } from "./recorder.js";
import type { Side } from "./routing.js";

/** The queue that holds the copies of a routed queue's orders. */
export const shadowOf = (queue: string): string => `${queue}-shadow`;

const closeMs = 5000;

/** How workers run where the app does not say otherwise. */
const workerDefaults: Omit<WorkerOptions, "connection"> = {
  concurrency: 20,
  // A killed worker's jobs are free after these, not after BullMQ's 30 s each.
  lockDuration: 10_000,
  stalledInterval: 3000,
  // A job caught by several crashes is still an order; where it takes effect a second run is told
  // from a first.
  maxStalledCount: 25,
};

/** Makes a producer for a queue of an endpoint. */
export type OpenProducer = (
  endpoint: Endpoint,
  purpose: Purpose,
  replicas: number,
  onError: (err: Error) => void,
) => Producer;

/** The safe producer; drills go the same way. */
export const openProducer: OpenProducer = (endpoint, purpose, replicas, onError) =>
  new Producer({
    queue: purpose.queue,
    connection: producerOptions(endpoint, purpose),
    replicas,
    onError,
  });

/** What the lanes of a queue have in common. */
export interface LaneConfig<T, Tx> {
  service: string;
  queue: string;
  work: Work<T, Tx> | undefined;
  key: (order: T) => string;
  recorder: Recorder | undefined;
  journal: TransactionalJournal<Tx> | undefined;
  open: OpenProducer;
  worker: Omit<WorkerOptions, "connection"> | undefined;
  log: (event: string, detail: Record<string, unknown>) => void;
}

/** Which server a lane is of. */
export interface LaneServer {
  side: Side;
  endpoint: string;
  connection: Endpoint;
  replicas: number;
}

/** Every connection of one side to one server: two producers, a worker, and a shadow worker. */
export class Lane<T extends object, Tx> {
  readonly side: Side;
  readonly endpoint: string;
  readonly #config: LaneConfig<T, Tx>;
  readonly #server: LaneServer;
  #producers: Record<"main" | "shadow", Producer> | undefined;
  #worker: Consumer | undefined;
  #shadowWorker: Consumer | undefined;
  #users = 0;
  #idle: (() => void) | undefined;

  constructor(config: LaneConfig<T, Tx>, server: LaneServer) {
    this.#config = config;
    this.#server = server;
    this.side = server.side;
    this.endpoint = server.endpoint;
  }

  get ready(): boolean {
    return this.#producers?.main.ready ?? false;
  }

  async waitReady(ms: number): Promise<void> {
    await this.#producers?.main.waitReady(ms);
  }

  startProducers(): void {
    const { queue } = this.#config;
    this.#producers ??= {
      main: this.#producer(queue, this.#server.replicas),
      shadow: this.#producer(shadowOf(queue), 0),
    };
  }

  /** Lends a producer; the lane outlives its use. */
  async use<R>(which: "main" | "shadow", work: (producer: Producer) => Promise<R>): Promise<R> {
    if (!this.#producers) throw new Error("this process only works: call start() to add jobs");
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

  /** Lets requests and jobs in progress finish, each bounded, then leaves the server. */
  async retire(): Promise<void> {
    await this.#drained(closeMs);
    const workers = [this.#worker, this.#shadowWorker];
    this.#worker = this.#shadowWorker = undefined;
    const graceful = await Promise.all(workers.map((worker) => worker?.close(closeMs)));
    for (const producer of Object.values(this.#producers ?? {})) producer.close();
    const { side, endpoint } = this;
    this.#config.log("side-closed", { side, endpoint, graceful: !graceful.includes(false) });
  }

  connections(): ConnectionReport[] {
    const { queue } = this.#config;
    const reports: ConnectionReport[] = [];
    if (this.#producers) {
      reports.push(reportProducer(this, queue, this.#producers.main));
      reports.push(reportProducer(this, shadowOf(queue), this.#producers.shadow));
    }
    if (this.#worker) reports.push(reportConsumer(this, "worker", queue, this.#worker));
    if (this.#shadowWorker) {
      reports.push(reportConsumer(this, "shadow-worker", shadowOf(queue), this.#shadowWorker));
    }
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
    const { open, service } = this.#config;
    const { connection, side } = this.#server;
    const purpose = { service, queue, side };
    return open(connection, purpose, replicas, this.#reporter("producer", queue));
  }

  #consumer(queue: string, mode: Execution["mode"]): Consumer {
    const { service, work, key, recorder, journal, worker } = this.#config;
    const place = { side: this.side, endpoint: this.endpoint };
    const routed = { place, mode, queue: this.#config.queue, key };
    const consumer = new Consumer({
      queue,
      connection: workerOptions(this.#server.connection, { service, queue, side: this.side }),
      process: processor({ ...routed, work: work!, recorder, journal }),
      worker: { ...workerDefaults, ...worker },
      onError: this.#reporter("worker", queue),
    });
    consumer.worker.on("failed", (job, err) => {
      if (!job) return;
      const { side } = this;
      this.#config.log("job-failed", { side, queue, job: job.id, attempt: job.attemptsMade, error: err.message });
      recorder?.record({ type: "failed", ...executionOf(routed, job), error: err.message });
    });
    return consumer;
  }

  // A server that is away yields the same error several times a second; one line per change is
  // enough.
  #reporter(role: string, queue: string): (err: Error) => void {
    let last = "";
    return (err) => {
      if (err.message === last) return;
      last = err.message;
      const { side, endpoint } = this;
      this.#config.log("redis-error", { side, endpoint, role, queue, error: err.message });
    };
  }
}
