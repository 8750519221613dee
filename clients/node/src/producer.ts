import { Queue, type JobsOptions } from "bullmq";
import { Redis, type RedisOptions } from "ioredis";
import { disconnect } from "./disconnect.js";
import { identify } from "./identity.js";

/**
 * The job may or may not be enqueued: answer 503 and let the payment provider deliver again. A lost reply and a command
 * that timed out can both have landed, which is why every add needs a deterministic job id.
 */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/** A queue as BullMQ wants it, of `name` or `prefix:name`. */
export function queueOf(queue: string): { name: string; prefix: string } {
  const at = queue.lastIndexOf(":");
  return at < 0 ? { name: queue, prefix: "bull" } : { name: queue.slice(at + 1), prefix: queue.slice(0, at) };
}

export interface ProducerConfig {
  /** Its name, or `prefix:name` where the prefix is not bull. */
  queue: string;
  connection: RedisOptions;
  /** Replicas that must confirm a write before it counts; 0 asks for none. */
  replicas?: number;
  /** How long to wait for them, ms. */
  replicaTimeoutMs?: number;
  /** false leaves out the readiness gate and the deadline (drills only). */
  safe?: boolean;
  /** Called with each error of the connection; it must not throw. */
  onError?: (err: Error) => void;
}

/** One connection that enqueues on one queue. */
export class Producer {
  readonly client: Redis;
  readonly safe: boolean;
  readonly replicas: number;
  readonly #config: ProducerConfig;
  readonly #replicaTimeoutMs: number;
  #queue: Queue | undefined;
  #sockets = 0;
  #nextWait: Promise<number> | undefined;
  #lastWait: Promise<unknown> = Promise.resolve();

  constructor(config: ProducerConfig) {
    this.#config = config;
    this.safe = config.safe ?? true;
    this.replicas = config.replicas ?? 0;
    this.#replicaTimeoutMs = config.replicaTimeoutMs ?? 1000;
    this.client = new Redis(config.connection);
    this.client.on("error", (err: Error) => config.onError?.(err));
    identify(this.client);
    this.client.on("close", () => this.#sockets++);
    // A Queue that is built while Redis is down awaits its own start for ever, and so does every add() on it.
    if (this.safe) this.client.once("ready", () => this.#open());
    else this.#open();
  }

  /** BullMQ's queue; undefined until the connection was ready once. */
  get queue(): Queue | undefined {
    return this.#queue;
  }

  get ready(): boolean {
    return this.#queue !== undefined && this.client.status === "ready";
  }

  /** Counts the sockets lost so far: two equal values around an await mean the same connection. */
  get sockets(): number {
    return this.#sockets;
  }

  /** Resolves with true once ready, or with false after `ms`. */
  async waitReady(ms: number): Promise<boolean> {
    if (this.ready) return true;
    let timer: NodeJS.Timeout | undefined;
    const ready = new Promise<void>((resolve) => this.client.once("ready", resolve));
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
    await Promise.race([ready, timeout]);
    clearTimeout(timer);
    return this.ready;
  }

  /**
   * Number of replicas that confirmed everything this connection wrote before the call. WAIT blocks its connection, so
   * calls share one; a WAIT already under way does not cover later writes, hence they share the next.
   */
  confirm(): Promise<number> {
    this.#nextWait ??= this.#lastWait.then(() => {
      this.#nextWait = undefined;
      const wait = this.client.wait(this.replicas, this.#replicaTimeoutMs);
      this.#lastWait = wait.catch(() => undefined);
      return wait;
    });
    return this.#nextWait;
  }

  /** Drops the connection at once. In-flight adds fail. */
  close(): void {
    disconnect(this.client);
  }

  #open(): void {
    const { name, prefix } = queueOf(this.#config.queue);
    this.#queue = new Queue(name, {
      connection: this.client,
      prefix,
      // The gate above already waited; these keep the queue's start from depending on a reply that may never come.
      ...(this.safe && { skipWaitingForReady: true, skipVersionCheck: true }),
    });
    this.#queue.on("error", (err) => this.#config.onError?.(err));
  }
}

export interface Job {
  name: string;
  data: unknown;
  /** `jobId` must be derived from the event, so that a second delivery is the same job. */
  opts: JobsOptions & { jobId: string };
}

/**
 * Enqueues a job, or fails within `deadlineMs` (default 2500).
 * @throws UnavailableError when it is not certain that the job is enqueued (and confirmed by the replicas asked for).
 */
export async function boundedAdd(producer: Producer, job: Job, deadlineMs = 2500): Promise<void> {
  if (!producer.safe) {
    await producer.queue!.add(job.name, job.data, job.opts);
    return;
  }
  if (!producer.ready) throw new UnavailableError(`redis connection is ${producer.client.status}`);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UnavailableError(`no answer from redis within ${deadlineMs} ms`)), deadlineMs);
  });
  const work = addAndConfirm(producer, producer.queue!, job);
  // The loser of the race may still fail later; that is expected and already answered.
  work.catch(() => undefined);
  try {
    await Promise.race([work, deadline]);
  } catch (err) {
    if (err instanceof UnavailableError) throw err;
    throw new UnavailableError((err as Error).message, { cause: err });
  } finally {
    clearTimeout(timer);
  }
}

async function addAndConfirm(producer: Producer, queue: Queue, job: Job): Promise<void> {
  await queue.add(job.name, job.data, job.opts);
  if (producer.replicas === 0) return;
  const socket = producer.sockets;
  const confirmed = await producer.confirm();
  // On a new socket WAIT speaks of nothing that was written before it, and is satisfied at once.
  if (producer.sockets !== socket) throw new UnavailableError("redis connection was lost before the replicas confirmed");
  if (confirmed < producer.replicas) throw new UnavailableError(`${confirmed} of ${producer.replicas} replicas confirmed`);
}
