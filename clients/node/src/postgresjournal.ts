import { randomUUID } from "node:crypto";
import { asSuppressed, outcomeOf, outcomesOf, writersOf } from "./journal.js";
import type { Batch, Event, Executed, Outcome, Page, TransactionalJournal } from "./journal.js";

type Row = Record<string, unknown>;

/** What of a connection of `pg` is needed here. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>;
}

/** What of a `Pool` of `pg` is needed here. */
export interface PgPool extends PgClient {
  connect(): Promise<PgClient & { release(err?: Error | boolean): void }>;
}

/**
 * A journal in PostgreSQL, for any number of processes. The pool is the app's own, and stays its
 * own; tables are made where they are missing: `<prefix>journal`, `<prefix>journal_meta`,
 * `<prefix>applied` and `<prefix>writers`.
 *
 * A row of `<prefix>journal_meta` is locked from the numbering of a batch to its commit: numbers
 * come without a gap, and become visible in their order, which no sequence does.
 */
export class PostgresJournal implements TransactionalJournal<PgClient> {
  readonly #pool: PgPool;
  readonly #prefix: string;

  constructor(pool: PgPool, { prefix = "switchyard_" }: { prefix?: string } = {}) {
    if (!/^[a-z_][a-z0-9_.]{0,40}$/.test(prefix)) {
      throw new Error(`prefix ${JSON.stringify(prefix)}: lower case letters, digits, _ and .`);
    }
    this.#pool = pool;
    this.#prefix = prefix;
  }

  open(): Promise<string> {
    const p = this.#prefix;
    return this.#within(async (tx) => {
      // Two processes that create the same table at once fail, even with IF NOT EXISTS.
      await tx.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`${p}journal`]);
      await tx.query(`CREATE TABLE IF NOT EXISTS ${p}journal_meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch text NOT NULL, seq bigint NOT NULL)`);
      await tx.query(`CREATE TABLE IF NOT EXISTS ${p}journal (
        seq bigint PRIMARY KEY, at bigint NOT NULL, body text NOT NULL)`);
      await tx.query(`CREATE TABLE IF NOT EXISTS ${p}applied (
        order_id text PRIMARY KEY, times integer NOT NULL)`);
      await tx.query(`CREATE TABLE IF NOT EXISTS ${p}writers (
        name text PRIMARY KEY, batch text NOT NULL, outcomes text NOT NULL, waiting text)`);
      await tx.query(
        `INSERT INTO ${p}journal_meta (epoch, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING`,
        [randomUUID()],
      );
      const { rows } = await tx.query(`SELECT epoch FROM ${p}journal_meta`);
      return String(rows[0]!["epoch"]);
    });
  }

  append(batch: Batch): Promise<(Outcome | undefined)[]> {
    const p = this.#prefix;
    const { writer, id, entries, waiting } = batch;
    return this.#within(async (tx) => {
      const seq = await this.#number(tx, 0); // locks: all that follows is one writer's at a time
      const last = await tx.query(`SELECT batch, outcomes FROM ${p}writers WHERE name = $1`, [writer]);
      if (last.rows[0]?.["batch"] === id) return outcomesOf(last.rows[0]["outcomes"]);
      const closing = entries[0]?.event.type === "closed";
      if (closing) {
        await tx.query(`DELETE FROM ${p}writers WHERE name = $1`, [writer]);
        const left = await tx.query(`SELECT 1 FROM ${p}writers LIMIT 1`);
        if (left.rows.length > 0) return [undefined];
      }
      const stored: Event[] = [];
      for (const { event, effects } of entries) {
        const counted = event.type === "executed" && effects !== undefined;
        const took = !counted || (await this.#take(tx, event.order, effects));
        stored.push(took ? event : asSuppressed(event));
      }
      if (stored.length > 0) {
        await this.#number(tx, stored.length);
        await tx.query(
          `INSERT INTO ${p}journal (seq, at, body)
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])`,
          [stored.map((_, i) => seq + i + 1), entries.map((e) => e.at), stored.map(text)],
        );
      }
      const outcomes = stored.map(outcomeOf);
      if (!closing) {
        const kept = waiting ? JSON.stringify(waiting) : null;
        await tx.query(
          `INSERT INTO ${p}writers (name, batch, outcomes, waiting) VALUES ($1, $2, $3, $4)
            ON CONFLICT (name) DO UPDATE SET batch = excluded.batch,
              outcomes = excluded.outcomes, waiting = excluded.waiting`,
          [writer, id, JSON.stringify(outcomes), kept],
        );
      }
      return outcomes;
    });
  }

  async read(after: number, limit: number): Promise<Page> {
    const p = this.#prefix;
    // The writers first: what no longer waits with them is in the events.
    const writers = await this.#pool.query(`SELECT name, waiting FROM ${p}writers ORDER BY name`);
    const { rows } = await this.#pool.query(
      `SELECT seq, at, body FROM ${p}journal WHERE seq > $1 ORDER BY seq LIMIT $2`,
      [after, limit],
    );
    return {
      events: rows.map((row) => ({
        seq: Number(row["seq"]),
        at: Number(row["at"]),
        event: JSON.parse(String(row["body"])) as Event,
      })),
      writers: writersOf(writers.rows),
    };
  }

  async transaction(
    order: string,
    work: (tx: PgClient) => Promise<Executed>,
  ): Promise<boolean> {
    const p = this.#prefix;
    return this.#within(async (tx) => {
      // Another run of the order waits here until this one has committed or failed.
      if (!(await this.#take(tx, order, 1))) return false;
      const event = await work(tx);
      const at = Date.now();
      const seq = await this.#number(tx, 1);
      await tx.query(`INSERT INTO ${p}journal (seq, at, body) VALUES ($1, $2, $3)`, [
        seq,
        at,
        text(event),
      ]);
      return true;
    });
  }

  /** The pool is the app's to end. */
  async close(): Promise<void> {}

  // Takes n numbers, and gives the last of them.
  async #number(tx: PgClient, n: number): Promise<number> {
    const { rows } = await tx.query(
      `UPDATE ${this.#prefix}journal_meta SET seq = seq + $1 RETURNING seq`,
      [n],
    );
    return Number(rows[0]!["seq"]);
  }

  async #take(tx: PgClient, order: string, times: number): Promise<boolean> {
    const p = this.#prefix;
    const { rowCount } = await tx.query(
      `INSERT INTO ${p}applied AS a (order_id, times) VALUES ($1, 1)
        ON CONFLICT (order_id) DO UPDATE SET times = a.times + 1 WHERE a.times < $2`,
      [order, times],
    );
    return rowCount === 1;
  }

  async #within<T>(work: (tx: PgClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    try {
      await client.query("BEGIN");
      const value = await work(client);
      await client.query("COMMIT");
      return value;
    } catch (err) {
      await client.query("ROLLBACK").catch((cause: Error) => (broken = cause));
      throw err;
    } finally {
      client.release(broken);
    }
  }
}

const text = (event: Event): string => JSON.stringify(event);
