import { Worker, type Processor, type WorkerOptions } from "bullmq";
import { Redis, type RedisOptions } from "ioredis";
import type { EventEmitter } from "node:events";
import { disconnect } from "./disconnect.js";
import { identify } from "./identity.js";
import { queueOf } from "./producer.js";

export interface ConsumerConfig {
  /** Its name, or `prefix:name` where the prefix is not bull. */
  queue: string;
  connection: RedisOptions;
  process: Processor;
  worker?: Omit<WorkerOptions, "connection">;
  onError?: (err: Error) => void;
}

/** One worker and every connection it opens, so that closing can be bounded when the server is gone. */
export class Consumer {
  readonly worker: Worker;
  readonly client: Redis;
  readonly #blocking: Redis[] = [];

  constructor(config: ConsumerConfig) {
    const onError = (err: Error): void => config.onError?.(err);
    this.client = new Redis(config.connection);
    this.client.on("error", onError);
    identify(this.client);
    // BullMQ duplicates the client for its blocking reads and offers no way to cut that one off.
    const duplicate = this.client.duplicate.bind(this.client);
    this.client.duplicate = (override) => {
      const copy = duplicate(override);
      this.#blocking.push(copy);
      identify(copy);
      return copy;
    };
    const { name, prefix } = queueOf(config.queue);
    this.worker = new Worker(name, config.process, { ...config.worker, prefix, connection: this.client });
    this.worker.on("error", onError);
    const { connection, blockingConnection } = this.worker as unknown as Record<string, EventEmitter | undefined>;
    for (const each of [connection, blockingConnection]) if (each) keepListening(each, onError);
  }

  /** Every connection of the worker, also that on which it blocks. */
  get clients(): [Redis, ...Redis[]] {
    return [this.client, ...this.#blocking];
  }

  /**
   * Waits for the jobs in progress, at most `ms`, then drops every connection. Returns false when the wait was cut
   * short: such jobs are run again after their lock expires, which an idempotent sink absorbs. A lost server gets only
   * half a second, since no job can be reported to it.
   */
  async close(ms: number): Promise<boolean> {
    const bound = this.client.status === "ready" ? ms : Math.min(ms, 500);
    let timer: NodeJS.Timeout | undefined;
    const closed = this.worker.close().then(
      () => true,
      () => false,
    );
    const timeout = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), bound)));
    const graceful = await Promise.race([closed, timeout]);
    clearTimeout(timer);
    if (!graceful) Object.assign(this.worker, { retryIfFailed: once });
    for (const client of [this.client, ...this.#blocking]) disconnect(client);
    return graceful;
  }
}

// A connection that is closed before it was ready has its listeners taken off by BullMQ 5, which then emits why it was not: without one, that ends the process.
function keepListening(connection: EventEmitter, onError: (err: Error) => void): void {
  const removeAll = connection.removeAllListeners.bind(connection);
  connection.removeAllListeners = (...events) => removeAll(...events).on("error", onError);
}

// BullMQ 5 repeats what fails on a closed connection for ever and without a pause while it closes: a job that ends then would stop the whole process.
// This is what BullMQ 6 does instead.
async function once(attempt: () => Promise<unknown>, options: { onlyEmitError?: boolean }): Promise<unknown> {
  try {
    return await attempt();
  } catch (err) {
    if (!options.onlyEmitError) throw err;
    return undefined;
  }
}
