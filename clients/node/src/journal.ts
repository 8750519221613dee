import type { Side, Stage } from "./routing.js";

/**
 * What the app did, in the order it did it; the control plane reads it as evidence. `instance` is
 * who wrote it down.
 */
export type Event = { instance?: string } & What;

type What =
  | {
      type: "delivery";
      order: string;
      event: string;
      provider: string;
      status: number;
      ms: number;
      error?: string;
      canary: boolean;
    }
  /** Durable intake has the order on disk. */
  | { type: "kept"; order: string; event: string; provider: string }
  | {
      type: "enqueued";
      order: string;
      jobId: string;
      /** The routed queue, also of a shadow copy. */
      queue: string;
      side: Side;
      endpoint: string;
      shadow: boolean;
      ok: boolean;
      error?: string;
      stage: Stage;
      revision: number;
      authority: Side;
      canary: boolean;
      digest: string;
    }
  | Executed
  | ({ type: "failed"; error: string } & Execution)
  /** The last event of a journal whose writers all ended in good order: nothing is missing. */
  | { type: "closed" };

export type Executed = {
  type: "executed";
  outcome: Outcome;
  result: string;
  authority: Side;
} & Execution;

/**
 * What came of a run: `applied`, the order took effect by it; `suppressed`, it had before;
 * `compared`, it was a shadow run, without effect; `misrouted`, it was the other side's to run.
 */
export type Outcome = "applied" | "suppressed" | "compared" | "misrouted" | "canary";

export interface Execution {
  order: string;
  jobId: string;
  /** The routed queue, also of a shadow copy. */
  queue: string;
  side: Side;
  endpoint: string;
  mode: "authoritative" | "shadow";
  attempt: number;
  /** Of the data that the worker got, see dataDigest. */
  digest: string;
}

export interface Entry {
  /** When it happened, ms since the epoch. */
  at: number;
  event: Event;
  /**
   * Of an `executed` event with the outcome `applied`: how often its order has taken effect by
   * now. It is stored as `suppressed` when that many are stored as `applied` already.
   */
  effects?: number;
}

/** What waits in a writer's durable intake: how many orders, and since when (ms; 0: none). */
export interface Waiting {
  backlog: number;
  oldestAt: number;
}

export interface Batch {
  /** Who writes: the instance's name. */
  writer: string;
  /**
   * Names the batch. One that was the writer's last is stored already: its answer was lost. It
   * must not be stored again, and has the same answer.
   */
  id: string;
  entries: Entry[];
  /** Kept with the writer until it says otherwise. */
  waiting?: Waiting | undefined;
}

export interface Stored {
  /** 1, 2, 3 and so on, in the order in which they were stored, without a gap. */
  seq: number;
  at: number;
  event: Event;
}

export interface Page {
  events: Stored[];
  /** Who has written and not left, with what waits there. */
  writers: { name: string; waiting?: Waiting | undefined }[];
}

/**
 * An append-only journal. It has one or several writers, each a process of the app, and is read
 * through any of them. `journalSuite` of `@switchyard/bullmq/testing` tries one.
 */
export interface Journal {
  /** Whether it ends with this process' disk: then nobody else can serve it. */
  readonly local?: boolean;
  /** Opens or creates it, and gives its epoch, which names it as long as it lives. */
  open(writer: string): Promise<string>;
  /**
   * Stores a batch whole or not at all. Once it resolves, the batch outlives a crash; what `read`
   * gave before never changes. It gives the outcome of each `executed` event as it was stored.
   *
   * A batch of one `closed` event takes its writer out, and is stored only if none is left: what
   * another one did may still be missing.
   */
  append(batch: Batch): Promise<(Outcome | undefined)[]>;
  /** Up to `limit` events after `after`, ascending. */
  read(after: number, limit: number): Promise<Page>;
  /** Lets go of connections and files. */
  close(): Promise<void>;
}

/** A journal in a database in which orders can take effect too, in the same transaction. */
export interface TransactionalJournal<Tx> extends Journal {
  /**
   * Runs `work` and stores the event that it gives, in one transaction, unless the order took
   * effect before. It gives whether it did now.
   * @throws what `work` throws; then nothing is stored.
   */
  transaction(order: string, work: (tx: Tx) => Promise<Executed>): Promise<boolean>;
}

/** Which of two forms of an event is stored; the journal decides. */
export function asSuppressed(event: Event): Event {
  return event.type === "executed" ? { ...event, outcome: "suppressed" } : event;
}

/** The outcomes of a batch, read from JSON, in which one that is none is null. */
export function outcomesOf(text: unknown): (Outcome | undefined)[] {
  return (JSON.parse(String(text)) as (Outcome | null)[]).map((outcome) => outcome ?? undefined);
}

/** The writers of rows of a table. */
export function writersOf(rows: Record<string, unknown>[]): Page["writers"] {
  return rows.map(({ name, waiting }) => ({
    name: String(name),
    ...(waiting !== null && { waiting: JSON.parse(String(waiting)) as Waiting }),
  }));
}

/** The outcome of an event that is stored as it is. */
export function outcomeOf(event: Event): Outcome | undefined {
  return event.type === "executed" ? event.outcome : undefined;
}
