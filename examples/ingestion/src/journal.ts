import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Side, Stage } from "@switchyard/bullmq";
import sqlite, { type Database, type Statement } from "node-sqlite3-wasm";
import type { Order } from "./order.js";
import { own } from "./ownership.js";
import { SharedSink } from "./sink.js";

/** What the app did, in the order it did it; the control plane reads it as evidence. */
export type Event =
  | { type: "delivery"; order: string; event: string; provider: string; status: number; ms: number; error?: string; canary: boolean }
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
  | ({ type: "executed"; outcome: Outcome; result: string; authority: Side } & Execution)
  | ({ type: "failed"; error: string } & Execution)
  /** The last event of a process that ended in good order: nothing that it did is missing. */
  | { type: "closed" };

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

export type Executed = Extract<Event, { type: "executed" }>;

interface Entry {
  at: number;
  event: Event;
  /** Set for an order to be applied to the sink. */
  order?: Order;
  settle?: { resolve: (outcome: Outcome) => void; reject: (err: Error) => void };
}

// Long enough to share one sync among the rows of a busy moment, short enough not to be felt by a job.
const groupCommitMs = 20;

/** The append-only journal and the order sink, one SQLite file with one writer; the sink may be one that several instances share. */
export class Journal {
  readonly epoch: string;
  readonly #db: Database;
  readonly #shared: SharedSink | undefined;
  readonly #release: () => void;
  readonly #log: (event: string, detail: Record<string, unknown>) => void;
  readonly #append: Statement;
  readonly #apply: Statement;
  readonly #page: Statement;
  #asked = { at: 0, after: 0 };
  #pending: Entry[] = [];
  #timer: NodeJS.Timeout | undefined;
  #failing = false;

  private constructor(db: Database, release: () => void, log: (event: string, detail: Record<string, unknown>) => void, shared: SharedSink | undefined) {
    this.#db = db;
    this.#shared = shared;
    this.#release = release;
    this.#log = log;
    // Write-ahead logging with a sync per commit: a committed row survives the process and the machine. The library has
    // no shared memory, without which SQLite needs the file for itself.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    db.exec(`
      CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS journal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS orders (
        order_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, side TEXT NOT NULL, amount INTEGER NOT NULL,
        currency TEXT NOT NULL, customer TEXT NOT NULL, result TEXT NOT NULL, applied_at INTEGER NOT NULL) WITHOUT ROWID;`);
    db.run("INSERT OR IGNORE INTO meta (key, value) VALUES ('epoch', ?)", [randomUUID()]);
    this.epoch = String(db.get("SELECT value FROM meta WHERE key = 'epoch'")!["value"]);
    this.#append = db.prepare("INSERT INTO journal (at, type, body) VALUES (?, ?, ?)");
    this.#apply = db.prepare(`INSERT OR IGNORE INTO orders
      (order_id, job_id, side, amount, currency, customer, result, applied_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#page = db.prepare("SELECT seq, at, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?");
    for (const { order, at, execution } of shared?.by(this.epoch) ?? []) {
      if (!db.get("SELECT 1 FROM orders WHERE order_id = ?", [order.id])) this.#push({ at, event: { ...execution, outcome: "applied" }, order });
    }
  }

  /**
   * Opens (or creates) the journal in `dir`, which this process then owns until `close()`. Orders take effect there, or in
   * `sinkDir`, which instances may share.
   */
  static async open(dir: string, log: (event: string, detail: Record<string, unknown>) => void, sinkDir?: string): Promise<Journal> {
    mkdirSync(dir, { recursive: true });
    const file = join(dir, "ingestion.db");
    const release = await own(dir, file, 15_000);
    return new Journal(new sqlite.Database(file), release, log, sinkDir ? new SharedSink(sinkDir) : undefined);
  }

  /** false while commits fail; jobs then fail too, and are retried. */
  get healthy(): boolean {
    return !this.#failing;
  }

  /** Appends an event with the next commit. */
  record(event: Event): void {
    this.#push({ at: Date.now(), event });
  }

  /**
   * Applies an order to the sink and records its execution, in one transaction. Resolves when both are durable, with
   * `suppressed` when the order was applied before.
   */
  apply(order: Order, execution: Omit<Executed, "outcome">): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#push({ at: Date.now(), event: { ...execution, outcome: "applied" }, order, settle: { resolve, reject } });
    });
  }

  /** Up to `limit` events after `after`, and where to go on. */
  page(after: number, limit: number): { epoch: string; next: number; events: object[] } {
    this.#commit();
    this.#asked = { at: Date.now(), after };
    const events = this.#page.all([after, limit]).map((row) => ({ seq: row["seq"], at: row["at"], ...JSON.parse(row["body"] as string) }) as { seq: number });
    return { epoch: this.epoch, next: events.at(-1)?.seq ?? after, events };
  }

  /**
   * Records that nothing comes any more, and waits until whoever reads the journal has that too: its disk may end with this
   * process. Nobody who does not read is waited for.
   */
  async finish(ms: number): Promise<void> {
    this.record({ type: "closed" });
    this.#commit();
    const last = Number(this.#db.get("SELECT max(seq) AS seq FROM journal")!["seq"]);
    const until = Date.now() + ms;
    // A reader asks for the last event that it has, and for what comes after.
    while (Date.now() - this.#asked.at < 2000 && this.#asked.after < last - 1 && Date.now() < until) await sleep(20);
  }

  close(): void {
    this.#commit();
    clearTimeout(this.#timer);
    for (const statement of [this.#append, this.#apply, this.#page]) statement.finalize();
    this.#db.close();
    this.#release();
  }

  #push(entry: Entry): void {
    this.#pending.push(entry);
    this.#timer ??= setTimeout(() => this.#commit(), this.#failing ? 1000 : groupCommitMs);
  }

  #commit(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = this.#pending;
    if (entries.length === 0) return;
    this.#pending = [];
    const outcomes: (() => void)[] = [];
    try {
      // First: what took effect and is not written down is found again, what is written down and took none would be lost.
      const applied = this.#take(entries);
      this.#db.exec("BEGIN IMMEDIATE");
      for (const entry of entries) {
        const outcome = this.#write(entry, applied.get(entry) ?? true);
        if (entry.settle) outcomes.push(() => entry.settle!.resolve(outcome!));
      }
      this.#db.exec("COMMIT");
      this.#failing = false;
    } catch (err) {
      this.#keep(entries, err as Error);
      return;
    }
    for (const settle of outcomes) settle();
  }

  // Whether each order of a batch is this journal's in the shared sink; nothing without one.
  #take(entries: Entry[]): Map<Entry, boolean> {
    const mine = new Map<Entry, boolean>();
    if (!this.#shared) return mine;
    for (const entry of entries) {
      if (!entry.order || entry.event.type !== "executed") continue;
      const { outcome: _, ...execution } = entry.event;
      mine.set(entry, this.#shared.apply({ order: entry.order, at: entry.at, by: this.epoch, execution }).by === this.epoch);
    }
    if (mine.size > 0) this.#shared.sync();
    return mine;
  }

  #write(entry: Entry, mine: boolean): Outcome | undefined {
    let event = entry.event;
    if (entry.order && event.type === "executed") {
      const o = entry.order;
      const applied = mine && this.#apply.run([o.id, event.jobId, event.side, o.amount, o.currency, o.customer, event.result, entry.at]).changes === 1;
      event = { ...event, outcome: applied ? "applied" : "suppressed" };
    }
    this.#append.run([entry.at, event.type, JSON.stringify(event)]);
    return event.type === "executed" ? event.outcome : undefined;
  }

  // Nothing of the batch is stored. Jobs learn it and run again; what merely happened is written later.
  #keep(entries: Entry[], err: Error): void {
    try {
      if (this.#db.inTransaction) this.#db.exec("ROLLBACK");
    } catch {
      // the commit's error is the one that tells
    }
    if (!this.#failing) this.#log("journal-failed", { error: err.message });
    this.#failing = true;
    for (const entry of entries) entry.settle?.reject(err);
    this.#pending = [...entries.filter((entry) => !entry.settle), ...this.#pending];
    this.#timer ??= setTimeout(() => this.#commit(), 1000);
  }
}
