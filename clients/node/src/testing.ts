import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { Batch, Entry, Event, Executed, Journal, Outcome, Stored } from "./journal.js";

/** A journal that is tried. */
export interface JournalUnderTest {
  /**
   * Gives another handle on the same journal, which `open` was not called on. Called once it has
   * closed what it gave before where `local`, and while others are open where not.
   */
  handle: () => Journal;
}

export interface JournalRule {
  /** The rule that a journal keeps. */
  name: string;
  /** Tries it on a journal that nothing was written into. @throws AssertionError */
  try: (journal: JournalUnderTest) => Promise<void>;
  /** It takes several writers: not for journals that are `local`. */
  shared?: true;
}

/**
 * The rules of `Journal`, for one's own: with `node:test`
 *
 *     for (const rule of journalRules) test(rule.name, () => rule.try({ handle: () => new MyJournal() }));
 */
export const journalRules: readonly JournalRule[] = [
  {
    name: "events are numbered from 1 without a gap, in the order in which they came",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        assert.deepEqual((await journal.read(0, 10)).events, []);
        await journal.append(batch("a", [1, 2, 3].map(entry)));
        await journal.append(batch("a", [4, 5].map(entry)));
        const { events } = await journal.read(0, 10);
        assert.deepEqual(events.map((e) => e.seq), [1, 2, 3, 4, 5]);
        assert.deepEqual(events.map(orderOf), ["o1", "o2", "o3", "o4", "o5"]);
        assert.deepEqual(events.map((e) => e.at), [1, 2, 3, 4, 5]);
      });
    },
  },
  {
    name: "a page begins behind a number, ends at its limit, and is the same ever after",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        await journal.append(batch("a", Array.from({ length: 9 }, (_, i) => entry(i + 1))));
        const { events } = await journal.read(4, 2);
        assert.deepEqual(events.map((e) => e.seq), [5, 6]);
        await journal.append(batch("a", [entry(10)]));
        assert.deepEqual((await journal.read(4, 2)).events, events);
        assert.deepEqual((await journal.read(10, 5)).events, []);
        assert.deepEqual((await journal.read(99, 5)).events, []);
      });
    },
  },
  {
    name: "whatever an event holds comes back as it was",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        const events = ["\u0000\u{1f4b6}'\"\\ <&", "x".repeat(100_000), "", "%s $1 ?"].map((error) => ({
          ...delivery("o"),
          error,
        }));
        await journal.append(batch("a", events.map((event, i) => ({ at: i, event }))));
        assert.deepEqual((await journal.read(0, 10)).events.map((e) => e.event), events);
      });
    },
  },
  {
    name: "a batch that comes again is not stored again, and has the same answer",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        const one = batch("a", [entry(1), run("o1", 1), run("o1", 1)]);
        const first = await journal.append(one);
        assert.deepEqual(first, [undefined, "applied", "suppressed"]);
        assert.deepEqual(await journal.append(one), first);
        assert.equal((await journal.read(0, 10)).events.length, 3);
        assert.deepEqual(await journal.append(batch("a", [])), []);
      });
    },
  },
  {
    name: "an order is stored as applied as often as it took effect, and no more",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        const told: (Outcome | undefined)[] = [];
        for (const effects of [1, 1, 2, 3, 3]) {
          told.push(...(await journal.append(batch("a", [run("o1", effects)]))));
        }
        const want = ["applied", "suppressed", "applied", "applied", "suppressed"];
        assert.deepEqual(told, want);
        const { events } = await journal.read(0, 10);
        assert.deepEqual(events.map((e) => (e.event as Executed).outcome), want);
      });
    },
  },
  {
    name: "an outcome that is not counted is stored as it is",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        const outcomes = ["applied", "applied", "suppressed", "misrouted", "compared"] as const;
        const all = outcomes.map((outcome) => ({ at: 1, event: executed("o1", outcome) }));
        assert.deepEqual(await journal.append(batch("a", all)), outcomes);
        const { events } = await journal.read(0, 10);
        assert.deepEqual(events.map((e) => (e.event as Executed).outcome), outcomes);
      });
    },
  },
  {
    name: "its name, its events and what took effect outlive whoever wrote them",
    async try({ handle }) {
      const before = await using(handle(), "a", async (journal, epoch) => {
        await journal.append(batch("a", [entry(1), run("o1", 1)]));
        return { epoch, events: (await journal.read(0, 10)).events };
      });
      await using(handle(), "a", async (journal, epoch) => {
        assert.equal(epoch, before.epoch);
        assert.deepEqual((await journal.read(0, 10)).events, before.events);
        assert.deepEqual(await journal.append(batch("a", [run("o1", 1)])), ["suppressed"]);
        assert.equal((await journal.read(0, 10)).events.at(-1)?.seq, 3);
      });
    },
  },
  {
    name: "a writer is named with what waits there, until it leaves",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        const waiting = { backlog: 2, oldestAt: 7 };
        await journal.append({ ...batch("a", []), waiting });
        assert.deepEqual((await journal.read(0, 1)).writers, [{ name: "a", waiting }]);
        await journal.append(batch("a", [entry(1)]));
        assert.deepEqual((await journal.read(0, 1)).writers, [{ name: "a" }]);
        await journal.append(batch("a", [closed]));
        assert.deepEqual((await journal.read(0, 1)).writers, []);
      });
    },
  },
  {
    name: "the last writer that leaves closes it, and it goes on with the next",
    async try({ handle }) {
      await using(handle(), "a", async (journal) => {
        await journal.append(batch("a", [entry(1)]));
        await journal.append(batch("a", [closed]));
        await journal.append(batch("a", [entry(2)]));
        const { events } = await journal.read(0, 10);
        assert.deepEqual(events.map((e) => e.event.type), ["delivery", "closed", "delivery"]);
        assert.deepEqual(events.map((e) => e.seq), [1, 2, 3]);
      });
    },
  },
  {
    name: "while another writer is there, also one that was killed, nobody closes it",
    shared: true,
    async try({ handle }) {
      await using(handle(), "killed", (journal) => journal.append(batch("killed", [entry(1)])));
      await using(handle(), "a", async (journal) => {
        await journal.append(batch("a", [entry(2)]));
        await journal.append(batch("a", [closed]));
        const { events, writers } = await journal.read(0, 10);
        assert.deepEqual(events.map((e) => e.event.type), ["delivery", "delivery"]);
        assert.deepEqual(writers, [{ name: "killed" }]);
        await journal.append(batch("killed", [closed])); // it came back, and ended in good order
        assert.equal((await journal.read(0, 10)).events.at(-1)?.event.type, "closed");
      });
    },
  },
  {
    name: "several writers at once: no gap, no event twice, and whoever reads meanwhile misses none",
    shared: true,
    async try({ handle }) {
      const writers = ["a", "b", "c", "d"];
      const rounds = 25;
      const open = await Promise.all(
        writers.map(async (name) => {
          const journal = handle();
          return { name, journal, epoch: await journal.open(name) };
        }),
      );
      try {
        assert.equal(new Set(open.map((w) => w.epoch)).size, 1, "each names it otherwise");
        let writing = true;
        const reading = follow(open[0]!.journal, () => writing);
        await Promise.all(
          open.map(async ({ name, journal }) => {
            for (let n = 0; n < rounds; n++) {
              const events = [0, 1, 2].map((i) => ({ at: n, event: delivery(`${name}-${n}-${i}`) }));
              await journal.append(batch(name, events));
            }
          }),
        );
        writing = false;
        const seen = await reading;
        const orders = seen.map(orderOf);
        assert.equal(orders.length, writers.length * rounds * 3);
        assert.equal(new Set(orders).size, orders.length, "an event is there twice");
        assert.deepEqual(seen.map((e) => e.seq), seen.map((_, i) => i + 1));
        for (const name of writers) {
          const own = orders.filter((order) => order.startsWith(name + "-"));
          const sent = Array.from({ length: rounds * 3 }, (_, i) => `${name}-${Math.floor(i / 3)}-${i % 3}`);
          assert.deepEqual(own, sent, `the events of ${name} are out of order`);
        }
      } finally {
        await Promise.all(open.map(({ journal }) => journal.close()));
      }
    },
  },
  {
    name: "an order that two writers run at once is stored as applied once",
    shared: true,
    async try({ handle }) {
      const both = await Promise.all(
        ["a", "b"].map(async (name) => {
          const journal = handle();
          await journal.open(name);
          return { name, journal };
        }),
      );
      try {
        for (let n = 0; n < 20; n++) {
          const told = await Promise.all(
            both.map(({ name, journal }) => journal.append(batch(name, [run(`o${n}`, 1)]))),
          );
          assert.deepEqual(told.flat().sort(), ["applied", "suppressed"]);
        }
      } finally {
        await Promise.all(both.map(({ journal }) => journal.close()));
      }
    },
  },
];

const closed: Entry = { at: 0, event: { type: "closed" } };

function batch(writer: string, entries: Entry[]): Batch {
  return { writer, id: randomUUID(), entries };
}

function entry(n: number): Entry {
  return { at: n, event: delivery(`o${n}`) };
}

function delivery(order: string): Event {
  const status = 200;
  return { type: "delivery", order, event: order, provider: "test", status, ms: 1, canary: false };
}

function executed(order: string, outcome: Outcome): Executed {
  return {
    type: "executed",
    order,
    jobId: order,
    queue: "orders",
    side: "source",
    endpoint: "standalone",
    mode: "authoritative",
    attempt: 1,
    digest: "0123456789abcdef",
    authority: "source",
    outcome,
    result: "r",
  };
}

function run(order: string, effects: number): Entry {
  return { at: 1, event: executed(order, "applied"), effects };
}

function orderOf({ event }: Stored): string {
  return "order" in event ? event.order : "";
}

// Reads as Switchyard does, from where it is, until nothing is written any more and the end is
// reached.
async function follow(journal: Journal, writing: () => boolean): Promise<Stored[]> {
  const seen: Stored[] = [];
  for (;;) {
    const last = !writing();
    const after = seen.at(-1)?.seq ?? 0;
    const { events } = await journal.read(after, 7);
    for (const { seq } of events) assert.ok(seq > after, `event ${seq} comes behind event ${after}`);
    seen.push(...events);
    if (last && events.length === 0) return seen;
  }
}

async function using<R>(
  journal: Journal,
  writer: string,
  work: (journal: Journal, epoch: string) => Promise<R>,
): Promise<R> {
  const epoch = await journal.open(writer);
  try {
    return await work(journal, epoch);
  } finally {
    await journal.close();
  }
}
