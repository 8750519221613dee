import { LastKnownGood } from "./lastknowngood.js";
import { Ofrep } from "./ofrep.js";
import { INITIAL, routeOrder, snapshotOf, type FlagValue, type Route, type Snapshot } from "./routing.js";
import { Sync } from "./sync.js";
import type { Transport } from "./transport.js";

export interface RouterConfig {
  /** Base address of Switchyard, and the token of this worker. */
  url: string;
  token: string;
  queue: string;
  /** Name of this process; the targeting key of every evaluation. */
  instance: string;
  /** What this process is; with `instance` it tells Switchyard who polls. */
  service?: string;
  version?: string;
  /** Where the last known good values are kept; with `sync` the definition too, beside it (`<file>.definition`). */
  file: string;
  /** Milliseconds between two polls or first connections (default 300), and until one is given up (default 2000). */
  pollMs?: number;
  timeoutMs?: number;
  /** Be pushed the flags over gRPC from here instead of polling `url`. `certPath`: PEM of the CA, where not a public one. */
  sync?: { host: string; port: number; tls?: boolean; certPath?: string };
  /**
   * Makes the app follow a snapshot. Calls never overlap and skip superseded snapshots; the attested revision waits for
   * the promise. It should bound its own work and not throw.
   */
  onChange?: (snapshot: Snapshot) => Promise<void> | void;
  /** Called whenever the attested revision, the held values or `lastKnownGood` may have changed. */
  onProgress?: () => void;
  log?: (event: string, detail: Record<string, unknown>) => void;
}

/** Pins the snapshot of one request, and keeps the attested revision from passing it until `end()`. */
export interface Lease {
  readonly snapshot: Snapshot;
  route(orderKey: string): Route;
  end(): void;
}

/**
 * Follows Switchyard's flags, over OFREP or gRPC, and routes orders by them. What was once known is never given up: an
 * unreachable Switchyard, a refusal or half an answer all leave the held values in force.
 */
export class Router {
  readonly #config: RouterConfig;
  readonly #transport: Transport;
  readonly #file: LastKnownGood<Snapshot>;
  readonly #inFlight = new Map<object, number>();
  #held: Snapshot = INITIAL;
  #followed: Snapshot | undefined;
  #applied = 0;
  #accepted = false;
  #contact = false;
  #applying: Promise<void> | undefined;
  #refusedOlder = false;

  constructor(config: RouterConfig) {
    this.#config = config;
    this.#file = new LastKnownGood(config.file, (v): v is Snapshot => usable(config.queue, v));
    const listener = { onChange: () => this.#take(), contact: (up: boolean) => this.#setContact(up) };
    const settled = { pollMs: 300, timeoutMs: 2000, ...config };
    this.#transport = config.sync ? new Sync(settled, listener) : new Ofrep(settled, listener);
  }

  /**
   * Loads the last known good values, asks Switchyard once (at most `timeoutMs`) and returns when the app follows the
   * outcome. It never fails: without an answer it serves the file, else the initial values, and keeps asking.
   */
  async start(): Promise<void> {
    this.#held = this.#file.load() ?? INITIAL;
    await this.#transport.start();
    this.#apply();
    await this.#applying;
  }

  get snapshot(): Snapshot {
    return this.#held;
  }

  /** True while known values are served although Switchyard does not confirm them. */
  get lastKnownGood(): boolean {
    return this.#held.revision > 0 && !(this.#contact && this.#accepted);
  }

  /** The newest flag-set revision that everything in this process is past: held, applied, and not undercut in flight. */
  get attestedRevision(): number {
    return Math.min(this.#applied, this.#held.revision, ...this.#inFlight.values());
  }

  /** Decides one order by the values held now. A request that takes time needs `begin()`: it pins them. */
  route(orderKey: string): Route {
    return routeOrder(this.#config.queue, this.#held, orderKey);
  }

  begin(): Lease {
    const key = {};
    const snapshot = this.#held;
    this.#inFlight.set(key, snapshot.revision);
    return {
      snapshot,
      route: (orderKey) => routeOrder(this.#config.queue, snapshot, orderKey),
      end: () => {
        const before = this.attestedRevision;
        this.#inFlight.delete(key);
        if (this.attestedRevision !== before) this.#config.onProgress?.();
      },
    };
  }

  async close(): Promise<void> {
    await this.#transport.close();
    await this.#applying;
  }

  #setContact(contact: boolean): void {
    if (contact === this.#contact) return;
    this.#contact = contact;
    this.#config.onProgress?.();
  }

  #take(): void {
    let next: Snapshot;
    try {
      next = this.#evaluate();
    } catch (err) {
      this.#accepted = false;
      this.#config.log?.("flags-refused", { error: (err as Error).message });
      this.#config.onProgress?.();
      return;
    }
    if (isOlder(next, this.#held)) {
      this.#refuseOlder(next);
      return;
    }
    this.#refusedOlder = false;
    this.#accepted = true;
    if (JSON.stringify(next) !== JSON.stringify(this.#held)) {
      try {
        this.#file.save(next);
      } catch (err) {
        this.#config.log?.("flags-not-saved", { error: (err as Error).message });
      }
      this.#held = next;
      this.#config.log?.("flags", { revision: next.revision, stage: next.stage, ramp: next.ramp, sourceEndpoint: next.sourceEndpoint });
      this.#apply();
    }
    this.#config.onProgress?.();
  }

  // A server that lost its last change, or a lagging replica, must not undo what this process already follows.
  #refuseOlder(next: Snapshot): void {
    this.#accepted = false;
    if (!this.#refusedOlder) this.#config.log?.("flags-older-ignored", { held: this.#held.revision, offered: next.revision });
    this.#refusedOlder = true;
    this.#config.onProgress?.();
  }

  #evaluate(): Snapshot {
    const flags: Record<string, FlagValue> = {};
    const sets = new Set<string>();
    let revision = 0;
    let set: string | undefined;
    for (const [key, { errorCode, value, flagMetadata }] of Object.entries(this.#transport.values())) {
      if (errorCode) throw new Error(`flag ${key}: ${errorCode}`);
      flags[key] = { value: value as string | number, revision: Number(flagMetadata["revision"] ?? 0) };
      if (typeof flagMetadata["flagSetId"] === "string") set = flagMetadata["flagSetId"];
      revision = Math.max(revision, Number(flagMetadata["flagSetRevision"] ?? flagMetadata["revision"] ?? 0));
      sets.add(`${flagMetadata["flagSetId"]}@${flagMetadata["flagSetRevision"]}`);
    }
    if (sets.size > 1) throw new Error(`the flags are of several revisions: ${[...sets].join(", ")}`);
    return snapshotOf(this.#config.queue, flags, revision, set);
  }

  #apply(): void {
    this.#applying ??= this.#follow().finally(() => (this.#applying = undefined));
  }

  async #follow(): Promise<void> {
    while (this.#followed !== this.#held) {
      const snapshot = this.#held;
      try {
        await this.#config.onChange?.(snapshot);
        this.#applied = snapshot.revision;
      } catch (err) {
        this.#config.log?.("flags-not-applied", { revision: snapshot.revision, error: (err as Error).message });
      }
      this.#followed = snapshot;
      this.#config.onProgress?.();
    }
  }
}

function isOlder(next: Snapshot, held: Snapshot): boolean {
  const otherSet = next.set !== undefined && next.set !== held.set;
  return !otherSet && next.revision < held.revision;
}

function usable(queue: string, value: unknown): boolean {
  const { flags, revision } = value as Partial<Snapshot>;
  if (typeof flags !== "object" || flags === null || !Number.isInteger(revision)) return false;
  try {
    snapshotOf(queue, flags, revision!);
    return true;
  } catch {
    return false;
  }
}
