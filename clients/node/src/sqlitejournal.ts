import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Database, Statement } from "node-sqlite3-wasm";
import { asSuppressed, outcomeOf, outcomesOf, writersOf } from "./journal.js";
import type { Batch, Event, Journal, Outcome, Page } from "./journal.js";
import { own } from "./ownership.js";

const ownMs = 15_000;

/**
 * A journal in a SQLite file: of one process, on a disk that outlives it. Needs
 * `node-sqlite3-wasm`. Several processes share a `PostgresJournal` or a `RedisJournal` instead.
 */
export class SqliteJournal implements Journal {
  readonly local = true;
  readonly #dir: string;
  #db: Database | undefined;
  #release: () => void = () => undefined;
  #statements: Record<string, Statement> = {};

  /** @param dir a folder that this process owns from `open` to `close`. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @throws Error when another process that is alive owns the folder. */
  async open(): Promise<string> {
    const { default: sqlite } = await import("node-sqlite3-wasm");
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    const file = join(this.#dir, "journal.db");
    this.#release = await own(this.#dir, file, ownMs);
    const db = (this.#db = new sqlite.Database(file));
    // Write-ahead logging with a sync per commit: a committed row survives the process and the
    // machine. The library has no shared memory, without which SQLite needs the file for itself.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    db.exec(`
      CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS journal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, body TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS applied (
        order_id TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS writers (
        name TEXT PRIMARY KEY, batch TEXT NOT NULL, outcomes TEXT NOT NULL, waiting TEXT);`);
    db.run("INSERT OR IGNORE INTO meta (key, value) VALUES ('epoch', ?)", [randomUUID()]);
    this.#statements = {
      append: db.prepare("INSERT INTO journal (at, body) VALUES (?, ?)"),
      apply: db.prepare(`INSERT INTO applied (order_id, times) VALUES (?, 1)
        ON CONFLICT (order_id) DO UPDATE SET times = times + 1 WHERE times < ?`),
      page: db.prepare("SELECT seq, at, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"),
      write: db.prepare(`INSERT INTO writers (name, batch, outcomes, waiting) VALUES (?, ?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET batch = excluded.batch, outcomes = excluded.outcomes,
          waiting = excluded.waiting`),
    };
    return String(db.get("SELECT value FROM meta WHERE key = 'epoch'")!["value"]);
  }

  async append(batch: Batch): Promise<(Outcome | undefined)[]> {
    const db = this.#db!;
    const last = db.get("SELECT batch, outcomes FROM writers WHERE name = ?", [batch.writer]);
    if (last?.["batch"] === batch.id) return outcomesOf(String(last["outcomes"]));
    db.exec("BEGIN IMMEDIATE");
    try {
      const outcomes = this.#store(batch);
      db.exec("COMMIT");
      return outcomes;
    } catch (err) {
      try {
        if (db.inTransaction) db.exec("ROLLBACK");
      } catch {
        // the first error is the one that tells
      }
      throw err;
    }
  }

  async read(after: number, limit: number): Promise<Page> {
    const events = this.#statements["page"]!.all([after, limit]).map((row) => ({
      seq: Number(row["seq"]),
      at: Number(row["at"]),
      event: JSON.parse(String(row["body"])) as Event,
    }));
    const writers = this.#db!.all("SELECT name, waiting FROM writers ORDER BY name");
    return {
      events,
      writers: writersOf(writers),
    };
  }

  async close(): Promise<void> {
    for (const statement of Object.values(this.#statements)) statement.finalize();
    this.#db?.close();
    this.#release();
  }

  #store({ writer, id, entries, waiting }: Batch): (Outcome | undefined)[] {
    const db = this.#db!;
    if (entries[0]?.event.type === "closed") {
      db.run("DELETE FROM writers WHERE name = ?", [writer]);
      if (db.get("SELECT 1 FROM writers")) return [undefined];
    }
    const { append, apply, write } = this.#statements;
    const outcomes = entries.map(({ at, event, effects }) => {
      let stored = event;
      if (event.type === "executed" && effects !== undefined) {
        const took = apply!.run([event.order, effects]).changes === 1;
        stored = took ? event : asSuppressed(event);
      }
      append!.run([at, JSON.stringify(stored)]);
      return outcomeOf(stored);
    });
    if (entries[0]?.event.type !== "closed") {
      const kept = waiting ? JSON.stringify(waiting) : null;
      write!.run([writer, id, JSON.stringify(outcomes), kept]);
    }
    return outcomes;
  }
}
