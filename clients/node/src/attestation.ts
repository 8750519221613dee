import type { Redis } from "ioredis";
import { randomUUID } from "node:crypto";
import type { Consumer } from "./consumer.js";
import { identities } from "./identity.js";
import type { DurableIntake } from "./intake.js";
import type { Producer } from "./producer.js";
import type { Router } from "./router.js";
import type { Side } from "./routing.js";

/** What one connection really is: status and options are read from the live client, not from configuration. */
export interface ConnectionReport {
  side: Side;
  endpoint: string;
  role: "producer" | "worker" | "shadow-worker";
  queue: string;
  status: string;
  options: Record<string, unknown>;
  /** What the server knows it by (CLIENT ID, run_id), with every connection that goes with it; absent where it does not tell. */
  clientIds?: number[];
  runId?: string;
}

type Place = Pick<ConnectionReport, "side" | "endpoint">;

export function reportProducer(place: Place, queue: string, producer: Producer): ConnectionReport {
  const queueOptions = producer.queue?.opts;
  return {
    ...report(place, "producer", queue, [producer.client]),
    options: { ...effective(producer.client), skipWaitingForReady: queueOptions?.skipWaitingForReady ?? producer.safe },
  };
}

export function reportConsumer(place: Place, role: "worker" | "shadow-worker", queue: string, consumer: Consumer): ConnectionReport {
  return report(place, role, queue, consumer.clients);
}

function report(place: Place, role: ConnectionReport["role"], queue: string, clients: [Redis, ...Redis[]]): ConnectionReport {
  const [client] = clients;
  return { side: place.side, endpoint: place.endpoint, role, queue, status: client.status, options: effective(client), ...identities(clients) };
}

function effective(client: Redis): Record<string, unknown> {
  const o = client.options;
  return {
    connectionName: o.connectionName ?? null,
    enableOfflineQueue: o.enableOfflineQueue ?? null,
    maxRetriesPerRequest: o.maxRetriesPerRequest ?? null,
    commandTimeout: o.commandTimeout ?? null,
    connectTimeout: o.connectTimeout ?? null,
    socketTimeout: o.socketTimeout ?? null,
  };
}

// Tells this process from another of the same name: a restart is not the former process that came back.
const process = randomUUID();

// The last error is for the app's own log: it may name addresses.
function attested(intake: DurableIntake): object {
  const { lastError: _, oldestAt: __, ...report } = intake.report();
  return report;
}

/** The version of docs/contract.md that this package keeps. */
export const CONTRACT = 2;

// "1-2": the versions that a Switchyard knows; one that does not say knows this one.
function known(range: string | null): boolean {
  const [, oldest, newest] = /^(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  return !oldest || (Number(oldest) <= CONTRACT && CONTRACT <= Number(newest));
}

export interface AttestorConfig {
  url: string;
  token: string;
  service: string;
  instance: string;
  version: string;
  bullmq: string;
  router: Router;
  connections: () => ConnectionReport[];
  /** Tells Switchyard that orders are kept on disk before they are acknowledged, and how many wait there. */
  intake?: DurableIntake;
  /** Names the journal that this instance writes, as it is served; Switchyard asks for it until it was read to its end. */
  journal?: string | (() => string);
  /** Tells what belongs into that journal and could not be written yet. */
  unwritten?: () => { events: number; oldestMs: number } | undefined;
  /** Milliseconds between two attestations (default 1000). */
  intervalMs?: number;
  log?: (event: string, detail: Record<string, unknown>) => void;
}

/** Tells Switchyard, each second and after each change, what this instance holds and how it is connected. */
export class Attestor {
  readonly #config: AttestorConfig;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #again = false;
  #failure: string | undefined;

  constructor(config: AttestorConfig) {
    this.#config = config;
  }

  start(): void {
    this.#timer = setInterval(() => this.kick(), this.#config.intervalMs ?? 1000);
    this.kick();
  }

  /** Sends now; while one is under way, one more follows it. */
  kick(): void {
    if (this.#timer === undefined) return;
    if (this.#sending) this.#again = true;
    else this.#sending = this.#loop();
  }

  /** Stops, and says goodbye (bounded), so that no gate waits for an instance that left on purpose. */
  async close(): Promise<void> {
    const started = this.#timer !== undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#again = false;
    await this.#sending;
    if (started) await this.#send(true);
  }

  async #loop(): Promise<void> {
    do {
      this.#again = false;
      await this.#send();
    } while (this.#again);
    this.#sending = undefined;
  }

  async #send(leaving = false): Promise<void> {
    const { url, token, service, instance, version, bullmq, router, connections, intake, journal, unwritten, log } = this.#config;
    const body = {
      service,
      instance,
      process,
      version,
      bullmq,
      contract: CONTRACT,
      revision: router.attestedRevision,
      flags: router.snapshot.flags,
      lastKnownGood: router.lastKnownGood,
      connections: connections(),
      ...(intake && { intake: attested(intake) }),
      ...(journal && { journal: typeof journal === "string" ? journal : journal() }),
      unwritten: unwritten?.(),
      ...(leaving && { leaving }),
    };
    let failure: string | undefined;
    try {
      const res = await fetch(`${url}/api/v1/workers/attest`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(2000),
      });
      await res.arrayBuffer();
      const range = res.headers.get("switchyard-contract");
      if (!res.ok) failure = `status ${res.status}`;
      else if (!known(range)) failure = `Switchyard knows versions ${range} of the contract, and this is ${CONTRACT}`;
    } catch (err) {
      failure = (err as Error).message;
    }
    if (failure !== this.#failure) log?.(failure ? "attestation-failed" : "attestation-accepted", failure ? { error: failure } : {});
    this.#failure = failure;
  }
}
