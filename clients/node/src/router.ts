import { randomUUID } from "node:crypto";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents, type Client, type EvaluationDetails, type FlagValue as EvaluatedValue } from "@openfeature/web-sdk";
import { LastKnownGood } from "./lastknowngood.js";
import { flagKeys, INITIAL, routeOrder, snapshotOf, type FlagValue, type Route, type Snapshot } from "./routing.js";

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
  /** Where the last known good values are kept. */
  file: string;
  /** Milliseconds between two polls (default 300), and until one is given up (default 2000). */
  pollMs?: number;
  timeoutMs?: number;
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
 * Follows Switchyard's flags over OFREP and routes orders by them. What was once known is never given up: an
 * unreachable Switchyard, a refusal or half an answer all leave the held values in force.
 */
export class Router {
  readonly #config: Required<Pick<RouterConfig, "pollMs" | "timeoutMs">> & RouterConfig;
  readonly #domain = `switchyard-${randomUUID()}`;
  readonly #client: Client;
  readonly #file: LastKnownGood<Snapshot>;
  readonly #inFlight = new Map<object, number>();
  #provider: OFREPWebProvider | undefined;
  #held: Snapshot = INITIAL;
  #applied = 0;
  #accepted = false;
  #contact = false;
  #applying: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #refusedOlder = false;

  constructor(config: RouterConfig) {
    this.#config = { pollMs: 300, timeoutMs: 2000, ...config };
    this.#file = new LastKnownGood(config.file, (v): v is Snapshot => usable(config.queue, v));
    this.#client = OpenFeature.getClient(this.#domain);
    this.#client.addHandler(ProviderEvents.ConfigurationChanged, () => this.#take());
    this.#client.addHandler(ProviderEvents.Stale, () => this.#setContact(false));
  }

  /**
   * Loads the last known good values, asks Switchyard once (at most `timeoutMs`) and returns when the app follows the
   * outcome. It never fails: without an answer it serves the file, else the initial values, and keeps asking.
   */
  async start(): Promise<void> {
    this.#held = this.#file.load() ?? INITIAL;
    await this.#connect();
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
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#provider?.onClose?.();
    await this.#applying;
  }

  // The provider polls only after a first success, so a cold start with Switchyard down needs a new one per attempt.
  async #connect(): Promise<void> {
    const { url, token, instance, service, version, pollMs, timeoutMs } = this.#config;
    this.#provider = new OFREPWebProvider({
      baseUrl: url,
      headers: [
        ["Authorization", `Bearer ${token}`],
        ["X-Worker-Instance", instance],
        ...(service ? [["X-Worker-Service", service] as [string, string]] : []),
        ...(version ? [["X-Worker-Version", version] as [string, string]] : []),
      ],
      pollInterval: pollMs,
      timeoutMs,
      changeDetection: "polling",
      cacheMode: "disabled",
      fetchImplementation: (input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init),
    });
    try {
      await OpenFeature.setProviderAndWait(this.#domain, this.#provider, { targetingKey: instance });
      this.#take();
    } catch (err) {
      this.#config.log?.("flags-unreachable", { error: (err as Error).message });
      if (!this.#closed) this.#retry = setTimeout(() => void this.#connect(), pollMs);
    }
  }

  // The provider stops its clock at the response head; reading the body here keeps a server that freezes in the middle
  // of it from stopping the polling for good.
  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    try {
      const res = await fetch(input, init);
      const body = await res.arrayBuffer();
      this.#setContact(res.status === 200 || res.status === 304);
      return new Response(body.byteLength > 0 ? body : null, { status: res.status, headers: res.headers });
    } catch (err) {
      this.#setContact(false);
      throw err;
    }
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
    const keys = flagKeys(this.#config.queue);
    const flags: Record<string, FlagValue> = {};
    let revision = 0;
    let set: string | undefined;
    const read = (key: string, details: EvaluationDetails<EvaluatedValue>): void => {
      if (details.errorCode) throw new Error(`flag ${key}: ${details.errorCode}`);
      const metadata = details.flagMetadata;
      flags[key] = { value: details.value as string | number, revision: Number(metadata["revision"] ?? 0) };
      if (typeof metadata["flagSetId"] === "string") set = metadata["flagSetId"];
      revision = Math.max(revision, Number(metadata["flagSetRevision"] ?? metadata["revision"] ?? 0));
    };
    read(keys.stage, this.#client.getStringDetails(keys.stage, INITIAL.stage));
    read(keys.ramp, this.#client.getNumberDetails(keys.ramp, INITIAL.ramp));
    read(keys.sourceEndpoint, this.#client.getStringDetails(keys.sourceEndpoint, INITIAL.sourceEndpoint));
    return snapshotOf(this.#config.queue, flags, revision, set);
  }

  #apply(): void {
    this.#applying ??= this.#follow().finally(() => (this.#applying = undefined));
  }

  async #follow(): Promise<void> {
    let done: Snapshot | undefined;
    while (done !== this.#held) {
      const snapshot = this.#held;
      try {
        await this.#config.onChange?.(snapshot);
        this.#applied = snapshot.revision;
      } catch (err) {
        this.#config.log?.("flags-not-applied", { revision: snapshot.revision, error: (err as Error).message });
      }
      done = snapshot;
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
