import { boundedAdd, UnavailableError, type Producer } from "./producer.js";

/** What a drill asks for: a producer of the app's own kind to a server of the drill's, an add on it, or its end. */
export type DrillRequest = { op: "open"; id: string; url: string; queue: string } | { op: "add"; id: string; job: string } | { op: "close"; id: string };

export interface DrillAnswer {
  /** HTTP status to answer with; an add gets what a webhook would: 200 or 503. */
  status: number;
  body: { status: number; ms: number; ready?: boolean; error?: string };
}

export interface DrillConfig {
  /** Makes a producer exactly as the app does for that queue of its own. */
  producer: (url: string, queue: string) => Producer;
  /** The queues that the app adds to. */
  queues: string[];
  /** Hosts that a drill may name. Anything else is refused: the caller must not choose where the app connects to. */
  hosts: string[];
  /** How long a producer is kept when nobody closes it, ms (default 120000): a drill that loses contact leaves nothing behind. */
  keepMs?: number;
}

const most = 4;
const readyMs = 2500;

/**
 * Tries the app's own connection options on servers that only a drill uses. It touches none of the app's real connections.
 */
export class Drill {
  readonly #config: DrillConfig;
  readonly #open = new Map<string, { producer: Producer; timer: NodeJS.Timeout }>();

  constructor(config: DrillConfig) {
    this.#config = config;
  }

  /** Serves one request. It never throws; what is malformed is answered with 400. */
  async handle(request: unknown): Promise<DrillAnswer> {
    const start = performance.now();
    const answer = (status: number, rest: { ready?: boolean; error?: string } = {}): DrillAnswer => ({
      status,
      body: { status, ms: Math.round(performance.now() - start), ...rest },
    });
    const r = parse(request);
    if (typeof r === "string") return answer(400, { error: r });
    const held = this.#open.get(r.id);
    if (r.op === "close") {
      this.#close(r.id);
      return answer(200);
    }
    if (r.op === "open") {
      if (held) return answer(409, { error: `a producer ${r.id} is open` });
      if (this.#open.size >= most) return answer(409, { error: `${most} producers are open: close one` });
      const host = hostOf(r.url);
      if (!host || !this.#config.hosts.includes(host)) return answer(400, { error: `host ${host ?? "unknown"} is none of ${this.#config.hosts.join(", ")}` });
      if (!this.#config.queues.includes(r.queue)) return answer(400, { error: `queue ${r.queue} is none of ${this.#config.queues.join(", ")}` });
      const producer = this.#config.producer(r.url, r.queue);
      const timer = setTimeout(() => this.#close(r.id), this.#config.keepMs ?? 120_000);
      timer.unref();
      this.#open.set(r.id, { producer, timer });
      return answer(200, { ready: await producer.waitReady(readyMs) });
    }
    if (!held) return answer(404, { error: `no producer ${r.id} is open` });
    try {
      await boundedAdd(held.producer, { name: "drill", data: {}, opts: { jobId: r.job } });
      return answer(200);
    } catch (err) {
      // An app without the safe add meets other errors, which its framework would make a 500 of.
      return answer(err instanceof UnavailableError ? 503 : 500, { error: (err as Error).message });
    }
  }

  /** Ends every producer of a drill. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.#close(id);
  }

  #close(id: string): void {
    const held = this.#open.get(id);
    if (!held) return;
    this.#open.delete(id);
    clearTimeout(held.timer);
    held.producer.close();
  }
}

function parse(request: unknown): DrillRequest | string {
  const r = request as Partial<Record<string, unknown>> | null;
  const text = (name: string): string | undefined => (typeof r?.[name] === "string" && (r[name] as string).length <= 500 ? (r[name] as string) : undefined);
  const op = text("op");
  const id = text("id");
  if (!id || !/^[\w-]{1,64}$/.test(id)) return "id: 1 to 64 letters, digits, _ or -";
  if (op === "close") return { op, id };
  if (op === "open") {
    const url = text("url");
    const queue = text("queue");
    return url && queue ? { op, id, url, queue } : "url or queue is missing";
  }
  if (op === "add") {
    const job = text("job");
    return job && /^[\w-]{1,64}$/.test(job) ? { op, id, job } : "job: 1 to 64 letters, digits, _ or -";
  }
  return "op: open, add or close";
}

function hostOf(url: string): string | undefined {
  try {
    const u = new URL(url);
    return u.protocol === "redis:" ? u.hostname.replace(/^\[|\]$/g, "") : undefined;
  } catch {
    return undefined;
  }
}
