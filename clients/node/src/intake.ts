import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeFileSync, type PathLike } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { UnavailableError } from "./producer.js";
import { unavailable } from "./unavailable.js";

/** An event as it came in. `id` is the provider's, and becomes the job id. */
export interface IntakeEvent {
  id: string;
  body: Buffer;
  /** What else is needed to handle it later; never secrets: it is written to disk as it is. */
  meta: Record<string, string>;
  /** Milliseconds since the epoch. */
  receivedAt: number;
}

export interface IntakeConfig {
  /** Where events are kept until they are enqueued; of this process alone, on a disk that outlives it. */
  dir: string;
  /** Enqueues: it must be idempotent by `event.id` (a deterministic job id), for after a crash an event is delivered again. */
  deliver: (event: IntakeEvent) => Promise<void>;
  /** Bytes on disk above which events are refused (default 256 MiB). */
  maxBytes?: number;
  /** Bytes of one file (default 8 MiB); a file goes when all of it is delivered. */
  segmentBytes?: number;
  /** How many deliveries at once (default 8). */
  concurrency?: number;
  /** Milliseconds until a failed delivery is tried again (default 250); doubled up to 16 times that in an outage, 64 times when the event itself fails. */
  retryMs?: number;
  log?: (event: string, detail: Record<string, unknown>) => void;
}

export interface IntakeReport {
  /** Events that are on disk and not enqueued yet. */
  backlog: number;
  /** Bytes on disk, and how many there may be. */
  bytes: number;
  maxBytes: number;
  /** How long the oldest of the backlog has been waiting, ms, and since when, ms since the epoch; 0 without a backlog. */
  oldestMs: number;
  oldestAt: number;
  accepted: number;
  delivered: number;
  /** Answered with an error, because there was no room or the disk failed. */
  refused: number;
  /** Lines that could not be read at the start. Their files are kept. */
  damaged: number;
  lastError: string | undefined;
}

/** The event is not on disk: answer 503. */
export class IntakeFullError extends UnavailableError {}

interface Entry {
  id: string;
  segment: Segment;
  offset: number;
  length: number;
  receivedAt: number;
}

interface Segment {
  number: number;
  bytes: number;
  open: number;
  keep: boolean;
}

interface Waiting {
  id: string;
  line: Buffer;
  receivedAt: number;
  done: (err?: Error) => void;
}

/**
 * Keeps events on disk before they are acknowledged, and enqueues them in the background: no outage of Redis is longer than the provider's retries.
 * An event that was accepted is delivered at least once, whatever happens to the process; twice when it dies between the delivery and its mark.
 */
export class DurableIntake {
  readonly #config: Required<Omit<IntakeConfig, "log">> & Pick<IntakeConfig, "log">;
  readonly #entries = new Map<string, Entry>();
  readonly #writing = new Map<string, Promise<void>>();
  readonly #segments = new Map<number, Segment>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #ready: Entry[] = [];
  #next = 0; // in #ready
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #flushing: Promise<void> | undefined;
  #current: { segment: Segment; file: FileHandle } | undefined;
  #running = 0;
  #closed = true; // takes nothing more
  #stopped = true; // delivers nothing more, and leaves the disk alone
  #tidy = false;
  #idle: (() => void) | undefined;
  #accepted = 0;
  #delivered = 0;
  #refused = 0;
  #damaged = 0;
  #lastError: string | undefined;

  constructor(config: IntakeConfig) {
    this.#config = { maxBytes: 256 << 20, segmentBytes: 8 << 20, concurrency: 8, retryMs: 250, ...config };
    this.#config.segmentBytes = Math.min(this.#config.segmentBytes, this.#config.maxBytes / 4); // else one file could hold all the room
  }

  /** Reads what an earlier process left, and goes on delivering it. @throws when the folder is another living process's, or cannot be used. */
  async start(): Promise<void> {
    const { dir } = this.#config;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#lock();
    this.#closed = this.#stopped = false;
    const numbers = readdirSync(dir).map((name) => Number(/^intake-(\d+)\.log$/.exec(name)?.[1] ?? -1));
    numbers.sort((a, b) => a - b);
    for (const n of numbers) if (n >= 0) this.#recover(n);
    await this.#rotate(Math.max(0, ...numbers) + 1);
    for (const segment of [...this.#segments.values()]) this.#drop(segment);
    this.#ready = [...this.#entries.values()];
    this.#pump();
  }

  /**
   * Resolves once the event is on disk for certain. An event that is there already is not written twice.
   * @throws IntakeFullError when there is no room, UnavailableError when the disk failed: answer 503.
   */
  accept(event: { id: string; body: Buffer | string; meta?: Record<string, string> }): Promise<void> {
    if (this.#entries.has(event.id)) return Promise.resolve();
    const same = this.#writing.get(event.id);
    if (same) return same;
    const receivedAt = Date.now();
    const line = encode({ id: event.id, body: Buffer.from(event.body).toString("base64"), meta: event.meta ?? {}, receivedAt });
    if (this.#closed || this.#bytes() + this.#waitingBytes + line.length > this.#config.maxBytes) {
      this.#refused++;
      return Promise.reject(new IntakeFullError(this.#closed ? "the intake is closed" : `the intake is full: ${this.#bytes()} of ${this.#config.maxBytes} bytes`));
    }
    this.#waitingBytes += line.length;
    const written = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ id: event.id, line, receivedAt, done: (err) => (err ? reject(err) : resolve()) });
    }).finally(() => this.#writing.delete(event.id));
    this.#writing.set(event.id, written);
    this.#kick();
    return written;
  }

  report(): IntakeReport {
    const first = this.#entries.values().next().value;
    return {
      backlog: this.#entries.size,
      bytes: this.#bytes(),
      maxBytes: this.#config.maxBytes,
      oldestMs: first ? Math.max(0, Date.now() - first.receivedAt) : 0,
      oldestAt: first?.receivedAt ?? 0,
      accepted: this.#accepted,
      delivered: this.#delivered,
      refused: this.#refused,
      damaged: this.#damaged,
      lastError: this.#lastError,
    };
  }

  /** The report for a scrape, in Prometheus' text format. */
  metrics(): string {
    const r = this.report();
    const lines: [string, string, string, number][] = [
      ["backlog", "gauge", "Events on disk that are not enqueued yet.", r.backlog],
      ["bytes", "gauge", "Bytes on disk.", r.bytes],
      ["max_bytes", "gauge", "Bytes above which events are refused.", r.maxBytes],
      ["oldest_seconds", "gauge", "How long the oldest event has been waiting.", r.oldestMs / 1000],
      ["accepted_total", "counter", "Events written.", r.accepted],
      ["delivered_total", "counter", "Events enqueued.", r.delivered],
      ["refused_total", "counter", "Events answered with an error.", r.refused],
      ["damaged_lines", "gauge", "Lines that could not be read at the start.", r.damaged],
    ];
    return lines.map(([name, type, help, value]) => `# HELP switchyard_intake_${name} ${help}\n# TYPE switchyard_intake_${name} ${type}\nswitchyard_intake_${name} ${value}\n`).join("");
  }

  /**
   * A request handler for `node:http` and a route handler for Express: reads the raw body (or takes `req.body` where it is a Buffer), keeps the event and
   * answers. `identify` verifies the signature and names the event; what it throws is answered with 400.
   */
  handler(
    identify: (req: IncomingMessage, body: Buffer) => { id: string; meta?: Record<string, string> },
    options: { maxBodyBytes?: number; success?: (res: ServerResponse) => void } = {},
  ): (req: IncomingMessage & { body?: unknown }, res: ServerResponse) => void {
    const { maxBodyBytes = 1 << 20, success = (out: ServerResponse) => void out.writeHead(200, { "Content-Type": "text/plain" }).end("OK") } = options;
    const handle = async (req: IncomingMessage & { body?: unknown }, res: ServerResponse): Promise<void> => {
      const body = Buffer.isBuffer(req.body) ? req.body : await read(req, maxBodyBytes);
      if (!body) return void res.writeHead(413, { Connection: "close" }).end();
      let event;
      try {
        event = identify(req, body);
      } catch {
        return void res.writeHead(400).end();
      }
      try {
        await this.accept({ ...event, body });
      } catch {
        return unavailable(res);
      }
      success(res);
    };
    return (req, res) => void handle(req, res).catch(() => res.destroy());
  }

  /** Waits until everything is delivered, at most `ms`. What is left is delivered by the next process. */
  async close(ms = 0): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#flushing) await this.#flushing;
    if (this.#entries.size > 0 && ms > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([new Promise<void>((resolve) => (this.#idle = resolve)), new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
      clearTimeout(timer);
    }
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    while (this.#flushing) await this.#flushing;
    const current = this.#current;
    this.#current = undefined;
    await current?.file.close();
    rmSync(join(this.#config.dir, "lock"), { force: true });
  }

  #kick(): void {
    this.#flushing ??= this.#flush().finally(() => (this.#flushing = undefined));
  }

  // One write and one sync for all that came while the last one was under way.
  async #flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#tidy) {
      if (this.#tidy) {
        this.#tidy = false;
        const segment = this.#current?.segment;
        if (segment && segment.open === 0 && segment.bytes > 0) await this.#rotate(segment.number + 1).catch((err: Error) => (this.#lastError = err.message));
        continue;
      }
      const batch = this.#waiting;
      this.#waiting = [];
      let err: Error | undefined;
      try {
        if (!this.#current || this.#current.segment.bytes >= this.#config.segmentBytes) await this.#rotate(Math.max(...this.#segments.keys(), 0) + 1);
        await this.#append(batch);
      } catch (cause) {
        this.#lastError = (cause as Error).message;
        this.#config.log?.("intake-write-failed", { error: this.#lastError });
        err = new UnavailableError("the event could not be written to disk", { cause });
      }
      for (const w of batch) {
        this.#waitingBytes -= w.line.length;
        if (err) this.#refused++;
        else this.#accepted++;
        w.done(err);
      }
      this.#pump();
    }
  }

  async #append(batch: Waiting[]): Promise<void> {
    const { segment, file } = this.#current!;
    const start = segment.bytes;
    try {
      const all = Buffer.concat(batch.map((w) => w.line));
      for (let at = 0; at < all.length; ) at += (await file.write(all, at, all.length - at, start + at)).bytesWritten;
      await file.datasync();
    } catch (err) {
      // What a failed sync left on the disk is not known: nothing more goes into this file. What of it is whole may be delivered, though it was refused.
      const broken = this.#current!;
      this.#current = undefined;
      await broken.file.truncate(start).catch(() => undefined);
      await broken.file.close().catch(() => undefined);
      throw err;
    }
    let offset = start;
    for (const w of batch) {
      const entry = { id: w.id, segment, offset, length: w.line.length, receivedAt: w.receivedAt };
      offset += w.line.length;
      segment.open++;
      this.#entries.set(w.id, entry);
      this.#ready.push(entry);
    }
    segment.bytes = offset;
  }

  #pump(): void {
    while (!this.#stopped && this.#running < this.#config.concurrency && this.#next < this.#ready.length) {
      const entry = this.#ready[this.#next++]!;
      if (this.#next > 1024 && this.#next * 2 > this.#ready.length) {
        this.#ready = this.#ready.slice(this.#next);
        this.#next = 0;
      }
      this.#running++;
      void this.#deliver(entry, 0);
    }
  }

  async #deliver(entry: Entry, attempt: number): Promise<void> {
    try {
      await this.#config.deliver(this.#read(entry));
    } catch (err) {
      this.#lastError = (err as Error).message;
      if (attempt === 0) this.#config.log?.("intake-delivery-failed", { id: entry.id, error: this.#lastError });
      // In an outage it keeps its place, so that all the others do not try in vain; what is wrong with one event must not hold up the others.
      const holds = err instanceof UnavailableError;
      if (!holds) this.#running--;
      if (this.#stopped) return;
      const timer = setTimeout(
        () => {
          this.#timers.delete(timer);
          if (!holds) this.#running++;
          void this.#deliver(entry, attempt + 1);
        },
        this.#config.retryMs * 2 ** Math.min(attempt, holds ? 4 : 6),
      );
      this.#timers.add(timer);
      if (!holds) this.#pump();
      return;
    }
    this.#running--;
    this.#mark(entry);
    this.#pump();
  }

  // The mark is not synced: losing it costs a second delivery, which the job id absorbs.
  #mark(entry: Entry): void {
    this.#delivered++;
    if (this.#stopped) return; // the folder may be the next process's already
    const { segment } = entry;
    this.#entries.delete(entry.id);
    segment.open--;
    try {
      writeFileSync(this.#file(segment.number, "done"), `${entry.offset}\n`, { flag: "a", mode: 0o600 });
      this.#drop(segment);
    } catch (err) {
      this.#lastError = (err as Error).message;
    }
    if (this.#current?.segment === segment && segment.open === 0 && segment.bytes >= this.#config.segmentBytes / 2) {
      this.#tidy = true;
      this.#kick();
    }
    if (this.#entries.size === 0) this.#idle?.();
  }

  #drop(segment: Segment): void {
    if (segment.open > 0 || segment.keep || this.#current?.segment === segment) return;
    this.#segments.delete(segment.number);
    rmSync(this.#file(segment.number, "log"), { force: true });
    rmSync(this.#file(segment.number, "done"), { force: true });
  }

  #read(entry: Entry): IntakeEvent {
    const buffer = Buffer.alloc(entry.length);
    const fd = openSync(this.#file(entry.segment.number, "log"), "r");
    try {
      readSync(fd, buffer, 0, entry.length, entry.offset);
    } finally {
      closeSync(fd);
    }
    const event = decode(buffer.subarray(0, -1));
    if (!event) throw new Error("the event can no longer be read from disk");
    return event;
  }

  async #rotate(number: number): Promise<void> {
    const old = this.#current;
    const file = await open(this.#file(number, "log"), "w", 0o600);
    syncDirectory(this.#config.dir);
    const segment = { number, bytes: 0, open: 0, keep: false };
    this.#segments.set(number, segment);
    this.#current = { segment, file };
    await old?.file.close();
    if (old) this.#drop(old.segment);
  }

  // A last line that is torn was never acknowledged. Any other that cannot be read is damage: it is told, and the file stays.
  #recover(number: number): void {
    const content = readFileSync(this.#file(number, "log"));
    let marks = "";
    try {
      marks = readFileSync(this.#file(number, "done"), "utf8");
    } catch {
      // without marks everything is delivered again
    }
    const done = new Set(marks.split("\n").slice(0, -1).map(Number));
    const segment: Segment = { number, bytes: content.length, open: 0, keep: false };
    this.#segments.set(number, segment);
    for (let offset = 0; offset < content.length; ) {
      const end = content.indexOf(10, offset);
      if (end < 0) break;
      const event = decode(content.subarray(offset, end));
      if (!event) {
        if (end + 1 < content.length) {
          this.#damaged++;
          segment.keep = true;
          this.#config.log?.("intake-damaged", { file: this.#file(number, "log"), offset });
        }
      } else if (!done.has(offset) && !this.#entries.has(event.id)) {
        segment.open++;
        this.#entries.set(event.id, { id: event.id, segment, offset, length: end + 1 - offset, receivedAt: event.receivedAt });
      }
      offset = end + 1;
    }
  }

  #bytes(): number {
    let sum = 0;
    for (const s of this.#segments.values()) sum += s.bytes;
    return sum;
  }

  #file(number: number, ending: "log" | "done"): string {
    return join(this.#config.dir, `intake-${String(number).padStart(8, "0")}.${ending}`);
  }

  // In containers every process may be number 1: its own number is a leftover.
  #lock(): void {
    const file = join(this.#config.dir, "lock");
    for (;;) {
      try {
        writeFileSync(file, String(process.pid), { flag: "wx", mode: 0o600 });
        return;
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
      }
      const pid = Number(readFileSync(file, "utf8"));
      if (pid > 0 && pid !== process.pid && alive(pid)) throw new Error(`the intake's folder is in use by process ${pid}`);
      rmSync(file, { force: true });
    }
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EPERM";
  }
}

function syncDirectory(dir: PathLike): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A line: the CRC-32 of what follows, in hex, and JSON. */
function encode(event: object): Buffer {
  const json = JSON.stringify(event);
  return Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} ${json}\n`);
}

function decode(line: Buffer): IntakeEvent | undefined {
  const json = line.subarray(9);
  if (line.subarray(0, 9).toString("latin1") !== `${crc32(json).toString(16).padStart(8, "0")} `) return undefined;
  try {
    const { id, body, meta, receivedAt } = JSON.parse(json.toString("utf8")) as { id: string; body: string; meta: Record<string, string>; receivedAt: number };
    return { id, body: Buffer.from(body, "base64"), meta, receivedAt };
  } catch {
    return undefined;
  }
}

/** The body, or undefined when it is larger than `limit`. */
async function read(req: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of req) {
    size += (part as Buffer).length;
    if (size > limit) return undefined;
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}
