import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Batch, Event, Executed, Journal, Outcome, Waiting } from "./journal.js";
import { UnavailableError } from "./producer.js";

interface Pending {
  at: number;
  event: Event;
  effects?: number;
  settle?: { resolve: (outcome: Outcome) => void; reject: (err: Error) => void };
}

/** A page as `/switchyard/journal` answers it. */
export interface JournalPage {
  epoch: string;
  next: number;
  events: object[];
  /** Every process that writes into this journal. */
  instances: string[];
  intake?: Waiting;
}

// Long enough to share one sync among the rows of a busy moment, short enough not to be felt by
// a job.
const groupCommitMs = 20;
const retryMs = 1000;
const maxBatch = 1000;
// Within Switchyard's own patience for a page, 5 s.
const pageMs = 3000;

/**
 * Writes into a journal in batches. What happened is kept until it is stored, in the order in
 * which it happened.
 */
export class Recorder {
  readonly #journal: Journal;
  readonly #writer: string;
  readonly #log: (event: string, detail: Record<string, unknown>) => void;
  readonly #run = randomUUID();
  #epoch = "";
  #waiting: (() => Waiting) | undefined;
  #told = "";
  #batches = 0;
  #pending: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #failing = false;
  #ended = false;
  #asked = { at: 0, after: 0 };

  constructor(
    journal: Journal,
    writer: string,
    log: (event: string, detail: Record<string, unknown>) => void,
  ) {
    this.#journal = journal;
    this.#writer = writer;
    this.#log = log;
  }

  async open(): Promise<void> {
    this.#epoch = await this.#journal.open(this.#writer);
    await this.#journal.append(this.#batch([])); // from here on it is one of the writers
  }

  /** Names the journal. */
  get epoch(): string {
    return this.#epoch;
  }

  /** false while nothing can be stored; jobs then wait. */
  get healthy(): boolean {
    return !this.#failing;
  }

  /** What happened and is not stored yet; undefined: nothing. */
  get unwritten(): { events: number; oldestMs: number } | undefined {
    const first = this.#pending[0];
    if (!first) return undefined;
    return { events: this.#pending.length, oldestMs: Math.max(0, Date.now() - first.at) };
  }

  /** Tells with the journal what waits in a durable intake, each second while that changes. */
  watch(waiting: () => Waiting): void {
    this.#waiting = waiting;
    this.#beat = setInterval(() => {
      if (JSON.stringify(waiting()) !== this.#told) void this.#flush();
    }, 1000).unref();
  }

  /** Stores an event with the next batch. */
  record(event: Event): void {
    this.#push({ at: Date.now(), event });
  }

  /** Stores a run. It resolves once that is durable, with the outcome as it stands there. */
  settle(event: Executed, effects?: number): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const settle = { resolve, reject };
      this.#push({ at: Date.now(), event, ...(effects !== undefined && { effects }), settle });
    });
  }

  /**
   * Up to `limit` events after `after`.
   * @throws UnavailableError while what happened before cannot be stored: such a page would end
   * too early.
   */
  async page(after: number, limit: number): Promise<JournalPage> {
    this.#asked = { at: Date.now(), after };
    await this.#stored();
    const { events, writers } = await this.#journal.read(after, limit);
    const page: JournalPage = {
      epoch: this.#epoch,
      next: events.at(-1)?.seq ?? after,
      events: events.map(({ seq, at, event }) => ({ seq, at, ...event })),
      instances: writers.map((w) => w.name),
    };
    const waiting = writers.flatMap((w) => w.waiting ?? []);
    if (waiting.length === 0) return page;
    const since = waiting.filter((w) => w.backlog > 0).map((w) => w.oldestAt);
    const backlog = waiting.reduce((sum, w) => sum + w.backlog, 0);
    return { ...page, intake: { backlog, oldestAt: since.length > 0 ? Math.min(...since) : 0 } };
  }

  /**
   * Stores everything and leaves the journal, at most `ms`. Of a journal that ends with this
   * process it waits until whoever reads it has that too; nobody who does not read is waited for.
   */
  async leave(ms: number): Promise<void> {
    clearInterval(this.#beat);
    const until = Date.now() + ms;
    try {
      await this.#stored(ms);
      await this.#journal.append(this.#batch([{ at: Date.now(), event: { type: "closed" } }]));
    } catch (err) {
      this.#log("journal-not-closed", { error: (err as Error).message });
      return; // it stays open: what is missing is not known
    }
    if (!this.#journal.local) return;
    const last = await this.#last();
    // A reader asks for the last event that it has, and for what comes after.
    const reads = (): boolean => Date.now() - this.#asked.at < 2000;
    while (reads() && this.#asked.after < last - 1 && Date.now() < until) await sleep(20);
  }

  async close(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
    await this.#flushing;
    for (const entry of this.#pending) entry.settle?.reject(new Error("the journal is closed"));
    await this.#journal.close();
  }

  async #last(): Promise<number> {
    for (let at = this.#asked.after; ; ) {
      const { events } = await this.#journal.read(at, maxBatch);
      if (events.length === 0) return at;
      at = events.at(-1)!.seq;
    }
  }

  /** An event with who writes it. */
  signed<E extends Event>(event: E): E & { instance: string } {
    return { ...event, instance: this.#writer };
  }

  #push(entry: Pending): void {
    this.#pending.push({ ...entry, event: this.signed(entry.event) });
    this.#timer ??= setTimeout(() => void this.#flush(), groupCommitMs);
  }

  async #stored(ms = pageMs): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(true), ms)));
    const timedOut = await Promise.race([this.#flush().then(() => false), late]);
    clearTimeout(timer);
    if (timedOut) throw new UnavailableError("the journal cannot be written now");
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushing ??= this.#write().finally(() => (this.#flushing = undefined));
    return this.#flushing;
  }

  async #write(): Promise<void> {
    let waiting = this.#waiting !== undefined && JSON.stringify(this.#waiting()) !== this.#told;
    while ((this.#pending.length > 0 || waiting) && !this.#ended) {
      const entries = this.#pending.slice(0, maxBatch);
      const outcomes = await this.#persist(this.#batch(entries));
      if (!outcomes) return;
      this.#pending = this.#pending.slice(entries.length);
      entries.forEach((entry, i) => entry.settle?.resolve(outcomes[i]!));
      waiting = false;
    }
  }

  // A batch whose answer was lost may be stored: it is tried again as the same one.
  async #persist(batch: Batch): Promise<(Outcome | undefined)[] | undefined> {
    while (!this.#ended) {
      try {
        const outcomes = await this.#journal.append(batch);
        this.#failing = false;
        this.#told = JSON.stringify(batch.waiting);
        return outcomes;
      } catch (err) {
        if (!this.#failing) this.#log("journal-failed", { error: (err as Error).message });
        this.#failing = true;
        await sleep(retryMs);
      }
    }
    return undefined;
  }

  #batch(entries: Pending[]): Batch {
    return {
      writer: this.#writer,
      id: `${this.#run}:${++this.#batches}`,
      entries: entries.map(({ settle: _, ...entry }) => entry),
      ...(this.#waiting && { waiting: this.#waiting() }),
    };
  }
}
