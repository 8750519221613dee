import { UnrecoverableError, type Job } from "bullmq";
import { dataDigest } from "./digest.js";
import type { Execution, Executed, Outcome, TransactionalJournal } from "./journal.js";
import type { Recorder } from "./recorder.js";
import type { Side, Stage } from "./routing.js";

export interface Place {
  side: Side;
  /** standalone, sentinel or managed. */
  endpoint: string;
}

/**
 * The decision made once, when the order was accepted; `_switchyard` in a job's data. Workers
 * obey it and never look at the flags.
 */
export interface Stamp {
  authority: Side;
  stage: Stage;
  revision: number;
  canary?: true;
  /** Set by the mover when the job was carried to the other side. */
  movedTo?: Side;
}

/** One run of a job. */
export interface Run<Tx = unknown> extends Place {
  /** 1 for the first. */
  attempt: number;
  mode: Execution["mode"];
  job: Job;
  /** Of the journal, with `transaction`: what is written with it is written once, or not at all. */
  tx: Tx;
}

/** How a run takes effect. */
export interface Work<T, Tx = unknown> {
  /**
   * Makes an order take effect. It runs for the side that has the authority over the order alone,
   * and never for a canary. `false`: it had taken effect before. What it throws is tried again.
   */
  process: (order: T, run: Run<Tx>) => Promise<boolean | void>;
  /**
   * What executing the order yields, by its content alone: it runs for copies too, and both sides
   * must agree on it. Default: the digest of the data.
   */
  result?: (order: T, run: Omit<Run<Tx>, "tx">) => string | Promise<string>;
  /**
   * How often an order has taken effect by now. `each run`: once more with each run of `process`
   * that did not answer `false` (the default). `once`: however often it runs, and on whichever
   * instance, once. A function looks where it takes effect; 0 after a run fails the job.
   */
  effects?: "each run" | "once" | ((order: T) => Promise<number>);
  /** Runs `process` in the journal's transaction, which no order passes twice. */
  transaction?: boolean;
}

/** Takes jobs of one queue on one side. */
export interface ProcessorConfig<T, Tx> {
  place: Place;
  mode: Execution["mode"];
  /** The routed queue. */
  queue: string;
  work: Work<T, Tx>;
  key: (order: T) => string;
  recorder: Recorder | undefined;
  journal: TransactionalJournal<Tx> | undefined;
}

/** A BullMQ processor that obeys the stamp, and records what it did before the job completes. */
export function processor<T extends object, Tx>(
  config: ProcessorConfig<T, Tx>,
): (job: Job) => Promise<{ order: string; outcome: Outcome }> {
  const { place, mode, queue, work, key, recorder, journal } = config;
  return async (job) => {
    const { _switchyard: stamp, ...order } = job.data as { _switchyard?: Stamp } & T;
    const id = orderOf(job, key);
    if (!id) throw unknown(order);
    const execution = executionOf({ place, mode, queue, key }, job, job.attemptsMade + 1);
    const authority = stamp?.authority ?? "source";
    const run = { ...place, attempt: execution.attempt, mode, job };
    // A canary has no order's fields: the app never gets to see one.
    const result =
      (stamp?.canary ? undefined : await work.result?.(order as unknown as T, run)) ??
      execution.digest;
    const executed = (outcome: Outcome): Executed => ({
      type: "executed",
      ...execution,
      authority,
      outcome,
      result,
    });
    const told = async (outcome: Outcome, effects?: number): Promise<Outcome> =>
      (await recorder?.settle(executed(outcome), effects)) ?? outcome;

    const passive = passiveOutcome(mode, authority, place.side, stamp);
    if (passive) return { order: id, outcome: await told(passive) };
    if (work.transaction && journal && recorder) {
      const took = await journal.transaction(id, async (tx) => {
        await work.process(order as unknown as T, { ...run, tx });
        return recorder.signed(executed("applied"));
      });
      return { order: id, outcome: took ? "applied" : await told("suppressed") };
    }
    const did = await work.process(order as unknown as T, { ...run, tx: undefined as Tx });
    const { effects = "each run" } = work;
    if (typeof effects !== "function") {
      const outcome = did === false ? "suppressed" : "applied";
      const counted = outcome === "applied" && effects === "once" ? 1 : undefined;
      return { order: id, outcome: await told(outcome, counted) };
    }
    const times = await effects(order as unknown as T);
    if (times < 1) throw new Error(`order ${id} ran, and took no effect: effects finds none`);
    // Each effect that no run has told of yet is told by this one.
    const outcomes = await Promise.all(Array.from({ length: times }, () => told("applied", times)));
    return { order: id, outcome: outcomes.includes("applied") ? "applied" : "suppressed" };
  };
}

// A server that evicts keys hands out jobs whose data is gone; running one would complete an order
// that nobody knows. Data of another shape, as of jobs that were queued by an earlier version of
// the app, is still there for a version that names them.
function unknown(order: object): Error {
  const fields = Object.keys(order);
  if (fields.length === 0) return new UnrecoverableError("the job has no data: it was lost");
  return new Error(
    `the job's data names no order: \`key\` finds no id in its fields ${fields.join(", ")}; ` +
      "jobs that an earlier version of the app has queued need a `key` that names them too",
  );
}

// What is not this run's to make take effect.
function passiveOutcome(
  mode: Execution["mode"],
  authority: Side,
  side: Side,
  stamp: Stamp | undefined,
): Outcome | undefined {
  if (mode === "shadow") return "compared";
  if (authority !== side && stamp?.movedTo !== side) return "misrouted";
  return stamp?.canary ? "canary" : undefined;
}

/** What identifies the run of a job in the journal, and the data that the worker really got. */
export function executionOf<T>(
  config: { place: Place; mode: Execution["mode"]; queue: string; key: (order: T) => string },
  job: Job,
  attempt = job.attemptsMade,
): Execution {
  return {
    order: orderOf(job, config.key),
    jobId: job.id ?? "",
    queue: config.queue,
    side: config.place.side,
    endpoint: config.place.endpoint,
    mode: config.mode,
    attempt,
    digest: dataDigest(job.data),
  };
}

/** The order of a job; "" when its data does not say. A canary's is its own id. */
function orderOf<T>(job: Job, key: (order: T) => string): string {
  const { _switchyard: stamp, ...order } = (job.data ?? {}) as { _switchyard?: Stamp };
  try {
    const id: unknown = stamp?.canary ? (order as { id?: unknown }).id : key(order as T);
    return typeof id === "string" ? id : "";
  } catch {
    return "";
  }
}
