import { randomUUID } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";
import type { FlagdProvider } from "@openfeature/flagd-provider";
import type { Client, MultiProvider } from "@openfeature/server-sdk";
import { LastKnownGood } from "./lastknowngood.js";
import { flagKeys, snapshotOf } from "./routing.js";
import { headersOf, NO_NUMBER, NO_TEXT, type Listener, type Transport, type TransportConfig } from "./transport.js";

/** A flag set in flagd's format, as far as it matters here. */
interface Definition {
  flags: Record<string, { state: string; variants: Record<string, string | number>; defaultVariant: string }>;
  metadata: { flagSetId?: string; flagSetRevision: number };
}

const QUIET = { error() {}, warn() {}, info() {}, debug() {} };
/** The scopes that the two providers give their answers. */
const FROM_STREAM = "live";
const FROM_FILE = "last-known-good";

/**
 * Is pushed whole flag sets over gRPC (flagd.sync.v1) and evaluates them in this process; where the stream never gave
 * any, the last known good definition does, which is kept beside the router's own file.
 */
export class Sync implements Transport {
  readonly #config: TransportConfig;
  readonly #listener: Listener;
  readonly #domain = `switchyard-${randomUUID()}`;
  readonly #file: LastKnownGood<Definition>;
  readonly #closing = new AbortController();
  #client: Client | undefined;
  #live: FlagdProvider | undefined;
  #provider: MultiProvider | undefined;
  #retry: NodeJS.Timeout | undefined;
  #values: ReturnType<Transport["values"]> = {};
  #streaming = false;
  #saving: Promise<void> = Promise.resolve();
  #etag: string | undefined;

  constructor(config: TransportConfig, listener: Listener) {
    this.#config = config;
    this.#listener = listener;
    this.#file = new LastKnownGood(`${config.file}.definition`, (v): v is Definition => whole(config.queue, v));
  }

  // After a failed first connection the provider reconnects, but then never tells of a change: so a new one per attempt.
  async start(): Promise<void> {
    const { pollMs, timeoutMs, log } = this.#config;
    const giveUp = async (): Promise<never> => {
      await after(timeoutMs, undefined, { signal: this.#closing.signal, ref: false });
      throw new Error(`no flags within ${timeoutMs} ms`);
    };
    try {
      await Promise.race([this.#connect(), giveUp()]);
      await this.#follow();
    } catch (err) {
      await this.#disconnect();
      if (this.#closing.signal.aborted) return;
      log?.("flags-unreachable", { error: (err as Error).message });
      this.#retry = setTimeout(() => void this.start(), pollMs);
      await this.#evaluate();
    }
  }

  values(): ReturnType<Transport["values"]> {
    return this.#values;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#retry);
    await this.#disconnect();
    await this.#saving;
  }

  async #connect(): Promise<void> {
    const { FirstMatchStrategy, MultiProvider, OpenFeature } = await import("@openfeature/server-sdk");
    const { FlagdProvider } = await import("@openfeature/flagd-provider");
    if (this.#closing.signal.aborted) return;
    const { sync, token, timeoutMs } = this.#config;
    // Undefined, not left out, where the provider would else ask the environment.
    const local = { resolverType: "in-process", socketPath: undefined, defaultAuthority: undefined, offlineFlagSourcePath: undefined } as const;
    this.#live = new FlagdProvider(
      {
        ...local,
        host: sync!.host,
        port: sync!.port,
        tls: sync!.tls ?? false,
        certPath: sync!.certPath,
        selector: `apiKey=${token}`, // the provider can send no metadata
        deadlineMs: timeoutMs / 2, // of connecting; the rest is for the first answer
        streamDeadlineMs: 0,
        keepAliveTime: 10_000,
        retryBackoffMs: 1000,
        retryBackoffMaxMs: 1000,
      },
      QUIET,
    );
    // Already sent on; else it would be the scope of every answer, where hooks of the app see the token.
    const told = innerOf(this.#live)?.config;
    if (told) told.selector = FROM_STREAM;
    const providers = [{ provider: this.#live, name: FROM_STREAM }];
    if (this.#readable()) {
      const saved = new FlagdProvider({ ...local, offlineFlagSourcePath: this.#file.path, selector: FROM_FILE }, QUIET);
      providers.push({ provider: saved, name: FROM_FILE });
    }
    this.#provider = new MultiProvider(providers, new FirstMatchStrategy(), QUIET);
    this.#client = OpenFeature.getClient(this.#domain);
    await OpenFeature.setProviderAndWait(this.#domain, this.#provider);
  }

  // Only now: before, these would be told of the provider that does nothing.
  async #follow(): Promise<void> {
    const { ProviderEvents } = await import("@openfeature/server-sdk");
    this.#client?.addHandler(ProviderEvents.ConfigurationChanged, () => void this.#changed());
    this.#client?.addHandler(ProviderEvents.Ready, () => this.#stream(true)); // at once, when it is ready
    this.#client?.addHandler(ProviderEvents.Stale, () => this.#stream(false));
    this.#client?.addHandler(ProviderEvents.Error, () => this.#stream(false));
    await this.#evaluate();
  }

  // Its provider fails as a whole on a file that is absent or broken; an empty set gives it nothing to answer instead.
  #readable(): boolean {
    try {
      if (!this.#file.load()) this.#file.save({ flags: {}, metadata: { flagSetRevision: 0 } });
      return true;
    } catch (err) {
      this.#config.log?.("flags-not-saved", { error: (err as Error).message });
      return false;
    }
  }

  // After its close flagd-provider 0.16.1 goes on reconnecting, without a pause; only its fetcher can be told to stop.
  async #disconnect(): Promise<void> {
    this.#streaming = false;
    Object.assign(innerOf(this.#live)?._dataFetcher ?? {}, { listen() {}, handleError() {} });
    await this.#provider?.onClose().catch((err: Error) => this.#config.log?.("flags-not-closed", { error: err.message }));
    this.#listener.contact(false);
  }

  #stream(up: boolean): void {
    this.#streaming = up && !this.#closing.signal.aborted;
    if (this.#streaming) void this.#changed();
    else this.#listener.contact(false);
  }

  async #changed(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#saving = this.#saving.then(() => this.#save());
    await this.#evaluate();
  }

  async #evaluate(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    const { stage, ramp, sourceEndpoint } = flagKeys(this.#config.queue);
    const context = { targetingKey: this.#config.instance };
    const details = await Promise.all([
      client.getStringDetails(stage, NO_TEXT, context),
      client.getNumberDetails(ramp, NO_NUMBER, context),
      client.getStringDetails(sourceEndpoint, NO_TEXT, context),
    ]);
    if (this.#closing.signal.aborted) return;
    if (!this.#streaming && details.some((d) => d.errorCode)) return; // nothing was ever known
    this.#values = Object.fromEntries(details.map((d) => [d.flagKey, d]));
    this.#listener.onChange();
    this.#listener.contact(this.#streaming && details.every((d) => d.flagMetadata["scope"] !== FROM_FILE));
  }

  async #save(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { url, queue, timeoutMs, log } = this.#config;
    try {
      const res = await fetch(`${url}/api/v1/flags/definition`, {
        headers: [...headersOf(this.#config), ...(this.#etag ? [["If-None-Match", this.#etag] as [string, string]] : [])],
        signal: AbortSignal.timeout(timeoutMs),
      });
      const body = await res.text();
      if (res.status === 304) return;
      if (!res.ok) throw new Error(`status ${res.status}`);
      const next: unknown = JSON.parse(body);
      if (!whole(queue, next)) throw new Error("the definition is not whole");
      const stored = this.#file.load();
      if (stored && isOlder(next, stored)) return;
      this.#file.save(next);
      this.#etag = res.headers.get("ETag") ?? undefined;
    } catch (err) {
      log?.("flags-not-saved", { error: (err as Error).message });
    }
  }
}

/** The private parts of flagd-provider 0.16.1 that no option reaches. */
function innerOf(provider: FlagdProvider | undefined): { config?: { selector?: string }; _dataFetcher?: object } | undefined {
  return (provider as unknown as { _service?: object } | undefined)?._service;
}

function whole(queue: string, value: unknown): value is Definition {
  try {
    const { flags, metadata } = value as Definition;
    const enabled = Object.entries(flags).filter(([, f]) => f.state === "ENABLED");
    snapshotOf(queue, Object.fromEntries(enabled.map(([k, f]) => [k, { value: f.variants[f.defaultVariant]!, revision: 0 }])), 0);
    return Number.isInteger(metadata.flagSetRevision);
  } catch {
    return false;
  }
}

function isOlder({ metadata: next }: Definition, { metadata: stored }: Definition): boolean {
  return next.flagSetId === stored.flagSetId && next.flagSetRevision < stored.flagSetRevision;
}
