import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { PostgresJournal, RedisJournal, SqliteJournal } from "@switchyard/bullmq";
import { journalRules } from "@switchyard/bullmq/testing";
import pg from "pg";
import { postgres } from "./postgres.mjs";
import { directory, redis } from "./redis.mjs";

// What ends with the file.
const ends = [];
const whole = { after: (end) => ends.unshift(end) };

// One's own behind the four methods: as short as one can be.
class MemoryJournal {
  constructor(kept = { epoch: randomUUID(), events: [], applied: new Map(), writers: new Map() }) {
    this.kept = kept;
  }
  async open() {
    return this.kept.epoch;
  }
  async append({ writer, id, entries, waiting }) {
    const { events, applied, writers } = this.kept;
    if (writers.get(writer)?.id === id) return writers.get(writer).outcomes;
    const closing = entries[0]?.event.type === "closed";
    if (closing) writers.delete(writer);
    if (closing && writers.size > 0) return [undefined];
    const outcomes = entries.map(({ at, event, effects }) => {
      const times = applied.get(event.order) ?? 0;
      const taken = effects === undefined || times < effects;
      if (effects !== undefined && taken) applied.set(event.order, times + 1);
      const stored = taken ? event : { ...event, outcome: "suppressed" };
      events.push({ seq: events.length + 1, at, event: stored });
      return stored.outcome;
    });
    if (!closing) writers.set(writer, { id, outcomes, waiting });
    return outcomes;
  }
  async read(from, limit) {
    const writers = [...this.kept.writers].map(([name, { waiting }]) => ({ name, ...(waiting && { waiting }) }));
    return { events: this.kept.events.slice(from, from + limit), writers };
  }
  async close() {}
}

describe("journals", { concurrency: 2 }, () => {
  let database, stream, pool;
  before(async () => {
    [database, stream] = [await postgres(whole), await redis(whole)];
    pool = new pg.Pool({ connectionString: database.url, max: 10 });
    whole.after(() => pool.end());
  });
  after(async () => {
    for (const end of ends) await end();
  });

  const backends = {
    PostgreSQL: () => {
      const prefix = `j${randomUUID().slice(0, 8)}_`;
      return () => new PostgresJournal(pool, { prefix });
    },
    Redis: () => {
      const name = randomUUID();
      return () => new RedisJournal({ redis: { url: stream.url }, name });
    },
    SQLite: (t) => {
      const dir = directory();
      return () => new SqliteJournal(dir);
    },
    "one's own": () => {
      const { kept } = new MemoryJournal();
      return () => new MemoryJournal(kept);
    },
  };
  for (const [name, make] of Object.entries(backends)) {
    for (const rule of journalRules) {
      if (rule.shared && name === "SQLite") continue;
      test(`${name}: ${rule.name}`, (t) => rule.try({ handle: make(t) }));
    }
  }

  // A suite that cannot fail proves nothing: each break of a rule is found by one of them.
  const breaches = {
    "a gap": (j) => ({ read: async (...a) => shifted(await j.read(...a), (e) => ({ ...e, seq: e.seq + (e.seq > 2 ? 1 : 0) })) }),
    "from 0": (j) => ({ read: async (after, n) => shifted(await j.read(after + 1, n), (e) => ({ ...e, seq: e.seq - 1 })) }),
    "the limit": (j) => ({ read: (after) => j.read(after, 1000) }),
    "behind": (j) => ({ read: (after, n) => j.read(Math.max(0, after - 1), n) }),
    "the time": (j) => ({ read: async (...a) => shifted(await j.read(...a), (e) => ({ ...e, at: 0 })) }),
    "changed": (j) => ({ read: async (...a) => shifted(await j.read(...a), (e) => ({ ...e, at: Math.random() })) }),
    "an event is cut": (j) => ({ read: async (...a) => shifted(await j.read(...a), (e) => ({ ...e, event: { ...e.event, error: e.event.error?.slice(0, 60_000) } })) }),
    "twice": (j) => ({ append: (b) => j.append({ ...b, id: randomUUID() }) }),
    "a batch in half": (j) => ({ append: (b) => j.append({ ...b, entries: b.entries.slice(0, 2) }) }),
    "reversed": (j) => ({ append: (b) => j.append({ ...b, entries: [...b.entries].reverse() }) }),
    "applied twice": (j) => ({ append: (b) => j.append({ ...b, entries: b.entries.map(({ effects: _, ...e }) => e) }) }),
    "applied once at most": (j) => ({ append: (b) => j.append({ ...b, entries: b.entries.map((e) => (e.effects ? { ...e, effects: 1 } : e)) }) }),
    "answers what was asked": (j) => ({ append: async (b) => (await j.append(b), b.entries.map((e) => e.event.outcome)) }),
    "another name": () => ({ open: async () => randomUUID() }),
    "no writers": (j) => ({ read: async (...a) => ({ ...(await j.read(...a)), writers: [] }) }),
    "what waits is lost": (j) => ({ append: (b) => j.append({ ...b, waiting: undefined }) }),
    "what waits stays": (j) => ({ read: async (...a) => ({ ...(await j.read(...a)), writers: [{ name: "a", waiting: { backlog: 2, oldestAt: 7 } }] }) }),
    "nobody leaves": (j) => ({ append: (b) => (b.entries[0]?.event.type === "closed" ? Promise.resolve([undefined]) : j.append(b)) }),
    "anybody closes it": (j) => ({ append: async (b) => (b.entries[0]?.event.type === "closed" && (await j.append({ ...b, writer: "killed" })), j.append(b)) }),
    "it is forgotten": (j) => ({ close: async () => j.kept.events.splice(0) }),
  };
  const shifted = ({ events, writers }, change) => ({ events: events.map(change), writers });
  for (const [breach, broken] of Object.entries(breaches)) {
    test(`the suite finds: ${breach}`, async () => {
      const failed = [];
      for (const rule of journalRules) {
        const { kept } = new MemoryJournal();
        const handle = () => {
          const journal = new MemoryJournal(kept);
          const parts = Object.fromEntries(["open", "append", "read", "close"].map((m) => [m, journal[m].bind(journal)]));
          return { ...parts, ...broken(journal) };
        };
        await rule.try({ handle }).catch((err) => failed.push([rule.name, err]));
      }
      assert.ok(failed.length > 0, "no rule is broken by it");
      for (const [, err] of failed) assert.equal(err.name, "AssertionError", err.stack);
    });
  }
});
