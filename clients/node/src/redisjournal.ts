import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { disconnect } from "./disconnect.js";
import { asSuppressed } from "./journal.js";
import type { Batch, Event, Journal, Outcome, Page, Waiting } from "./journal.js";
import { producerOptions, type Endpoint } from "./options.js";

/** What a writer's field holds. */
interface Writer {
  batch: string;
  outcomes: string[];
  waiting: Waiting | null;
}

// KEYS: events (a stream with the ids n-0), meta, applied, writers.
// ARGV: writer, batch id, waiting (JSON), then for each entry its time, its body, the body as
// suppressed, its order and how often that took effect ("" and "" where that is not counted).
const append = `
local writer = redis.call("HGET", KEYS[4], ARGV[1])
if writer then
  local last = cjson.decode(writer)
  if last.batch == ARGV[2] then return last.outcomes end
end
if ARGV[4] == "closed" then
  redis.call("HDEL", KEYS[4], ARGV[1])
  if redis.call("HLEN", KEYS[4]) > 0 then return {""} end
  local seq = redis.call("HINCRBY", KEYS[2], "seq", 1)
  redis.call("XADD", KEYS[1], seq .. "-0", "at", ARGV[5], "body", ARGV[6])
  return {""}
end
local outcomes = {}
for i = 5, #ARGV, 5 do
  local body, outcome = ARGV[i + 1], ""
  if ARGV[i + 4] ~= "" then
    local times = tonumber(redis.call("HGET", KEYS[3], ARGV[i + 3]) or "0")
    if times < tonumber(ARGV[i + 4]) then
      redis.call("HINCRBY", KEYS[3], ARGV[i + 3], 1)
      outcome = "applied"
    else
      body, outcome = ARGV[i + 2], "suppressed"
    end
  end
  local seq = redis.call("HINCRBY", KEYS[2], "seq", 1)
  redis.call("XADD", KEYS[1], seq .. "-0", "at", ARGV[i], "body", body)
  outcomes[#outcomes + 1] = outcome
end
redis.call("HSET", KEYS[4], ARGV[1], '{"batch":' .. cjson.encode(ARGV[2])
  .. ',"outcomes":' .. (#outcomes > 0 and cjson.encode(outcomes) or "[]")
  .. ',"waiting":' .. ARGV[3] .. '}')
return outcomes`;

export interface RedisJournalConfig {
  /** A Redis of its own, never one of those that are migrated. */
  redis: Endpoint;
  /** Tells one journal from another there (default "journal"). */
  name?: string;
  log?: (event: string, detail: Record<string, unknown>) => void;
}

/**
 * A journal in a Redis stream, for any number of processes. It is as durable as its server: give
 * it `appendonly yes` and `appendfsync always`, and a `maxmemory-policy` of `noeviction`. It
 * grows by about half a kilobyte an event, and is not trimmed.
 *
 * Keys, by `switchyard:{<name>}:`: `events` (a stream with the ids n-0), `meta` (epoch, seq),
 * `applied` (how often orders took effect), `writers`.
 */
export class RedisJournal implements Journal {
  readonly #config: RedisJournalConfig;
  readonly #keys: [events: string, meta: string, applied: string, writers: string];
  #client: Redis | undefined;

  constructor(config: RedisJournalConfig) {
    this.#config = config;
    const base = `switchyard:{${config.name ?? "journal"}}:`;
    this.#keys = [`${base}events`, `${base}meta`, `${base}applied`, `${base}writers`];
  }

  /** Where it is, to be held against the servers that are migrated. */
  get redis(): Endpoint {
    return this.#config.redis;
  }

  /** @throws Error when the server is away, or evicts keys. */
  async open(writer: string): Promise<string> {
    const purpose = { service: writer, queue: "journal", side: "journal" };
    const options = { ...producerOptions(this.#config.redis, purpose), lazyConnect: true };
    const client = (this.#client = new Redis(options));
    client.on("error", () => undefined); // each command tells
    await client.connect();
    await this.#durable(client);
    const [, meta] = this.#keys;
    await client.hsetnx(meta, "epoch", randomUUID());
    return String(await client.hget(meta, "epoch"));
  }

  async append({ writer, id, entries, waiting }: Batch): Promise<(Outcome | undefined)[]> {
    const closing = entries[0]?.event.type === "closed";
    const fields = entries.flatMap(({ at, event, effects }) => {
      const counted = event.type === "executed" && effects !== undefined;
      const body = JSON.stringify(event);
      const other = counted ? JSON.stringify(asSuppressed(event)) : "";
      return [at, body, other, counted ? event.order : "", counted ? effects : ""];
    });
    const kept = JSON.stringify(waiting ?? null);
    const args = [writer, id, kept, closing ? "closed" : "entries", ...fields];
    const answer = (await this.#client!.eval(append, 4, ...this.#keys, ...args)) as string[];
    // Of what is not counted the server says nothing: it is stored as it is.
    return entries.map(({ event }, i) =>
      event.type === "executed" ? ((answer[i] || event.outcome) as Outcome) : undefined,
    );
  }

  async read(after: number, limit: number): Promise<Page> {
    const [events, , , writers] = this.#keys;
    // The writers first: what no longer waits with them is in the events.
    const who = await this.#client!.hgetall(writers);
    const rows = await this.#client!.xrange(events, `${after + 1}-0`, "+", "COUNT", limit);
    return {
      events: rows.map(([id, fields]) => {
        const row = Object.fromEntries(pairs(fields));
        return {
          seq: Number(id.split("-")[0]),
          at: Number(row["at"]),
          event: JSON.parse(row["body"]!) as Event,
        };
      }),
      writers: Object.entries(who)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, text]) => {
          const { waiting } = JSON.parse(text) as Writer;
          return { name, ...(waiting && { waiting }) };
        }),
    };
  }

  async close(): Promise<void> {
    if (this.#client) disconnect(this.#client);
  }

  // A server that evicts keys forgets the journal; one that does not sync may forget its end,
  // which Switchyard notices. A server that does not tell is taken as it is.
  async #durable(client: Redis): Promise<void> {
    const policy = /^maxmemory_policy:(\S+)/m.exec(await client.info("memory"))?.[1];
    if (policy && policy !== "noeviction") {
      throw new Error(
        `the journal's Redis evicts keys: maxmemory-policy is ${policy}, noeviction is needed`,
      );
    }
    const of = async (name: string): Promise<unknown> =>
      client.config("GET", name).then(
        (answer) => (answer as string[])[1],
        () => undefined,
      );
    const [aof, fsync] = [await of("appendonly"), await of("appendfsync")];
    if (aof !== undefined && (aof !== "yes" || fsync !== "always")) {
      this.#config.log?.("journal-not-durable", { appendonly: aof, appendfsync: fsync });
    }
  }
}

function pairs(fields: string[]): [string, string][] {
  const out: [string, string][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) out.push([fields[i]!, fields[i + 1]!]);
  return out;
}
