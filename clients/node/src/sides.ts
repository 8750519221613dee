import type { ConnectionReport } from "./attestation.js";
import { Lane, type LaneConfig } from "./lane.js";
import type { Endpoint } from "./options.js";
import { shadowSides, type Side, type Snapshot, type SourceEndpoint } from "./routing.js";

/** The servers that an app may be told to use. */
export interface Servers {
  /** The old one. */
  standalone?: Endpoint | undefined;
  sentinel?: Endpoint | undefined;
  /** The managed one. */
  target?: Endpoint | undefined;
}

/** The two sides, rebuilt as the flags say. */
export class Sides<T extends object, Tx> {
  readonly #config: LaneConfig<T, Tx>;
  readonly #servers: Servers;
  readonly #replicas: number;
  readonly #lanes: Record<Side, Lane<T, Tx> | undefined> = { source: undefined, target: undefined };
  #retiring: Lane<T, Tx> | undefined;
  #wants = { producers: false, workers: false };
  #shadows: Side[] = [];

  /** @param replicas that must confirm an order while the source is the Sentinel estate. */
  constructor(config: LaneConfig<T, Tx>, servers: Servers, replicas: number) {
    this.#config = config;
    this.#servers = servers;
    this.#replicas = replicas;
    if (servers.target) this.#lanes.target = this.#lane("target", "managed", servers.target);
  }

  /** Adds jobs from here on, on whichever side the flags say. */
  send(): void {
    this.#wants.producers = true;
    for (const lane of Object.values(this.#lanes)) lane?.startProducers();
  }

  /** Runs jobs from here on. */
  async work(): Promise<void> {
    this.#wants.workers = true;
    for (const lane of Object.values(this.#lanes)) lane?.startWorker();
    await this.#runShadows();
  }

  /** The lane of a side, or why there is none. */
  lane(side: Side, snapshot: Snapshot): Lane<T, Tx> | string {
    const lane = this.#lanes[side];
    if (lane) return lane;
    const { sourceEndpoint } = snapshot;
    return side === "target"
      ? "the address of the target is not configured"
      : `there is no source server: source-endpoint is ${sourceEndpoint}`;
  }

  connections(): ConnectionReport[] {
    const lanes = [this.#lanes.source, this.#retiring, this.#lanes.target];
    return lanes.flatMap((lane) => lane?.connections() ?? []);
  }

  /**
   * Follows a snapshot. New producers come first, so that no order is refused while the old
   * workers finish; the new worker starts last, because during a replication swap both servers
   * hold the same jobs.
   */
  async follow(snapshot: Snapshot): Promise<void> {
    const old = this.#lanes.source;
    if (old?.endpoint !== snapshot.sourceEndpoint) {
      const connection = this.#source(snapshot.sourceEndpoint);
      const next = connection && this.#lane("source", snapshot.sourceEndpoint, connection);
      await next?.waitReady(2000);
      this.#lanes.source = next;
      this.#retiring = old;
      await old?.retire();
      this.#retiring = undefined;
      if (this.#wants.workers) next?.startWorker();
      this.#config.log("source-endpoint", { endpoint: next?.endpoint ?? "none" });
    }
    this.#shadows = shadowSides(snapshot.stage);
    await this.#runShadows();
  }

  async close(): Promise<void> {
    await Promise.all([this.#lanes.source?.retire(), this.#lanes.target?.retire()]);
  }

  async #runShadows(): Promise<void> {
    if (!this.#wants.workers) return;
    const sides = ["source", "target"] as const;
    const run = (side: Side) => this.#lanes[side]?.runShadow(this.#shadows.includes(side));
    await Promise.all(sides.map(run));
  }

  #source(endpoint: SourceEndpoint): Endpoint | undefined {
    if (endpoint === "none") return undefined;
    const connection = this.#servers[endpoint];
    if (!connection) {
      const error = "its address is not configured";
      this.#config.log("source-endpoint-unknown", { endpoint, error });
    }
    return connection;
  }

  #lane(side: Side, endpoint: string, connection: Endpoint): Lane<T, Tx> {
    const replicas = endpoint === "sentinel" ? this.#replicas : 0;
    const lane = new Lane(this.#config, { side, endpoint, connection, replicas });
    if (this.#wants.producers) lane.startProducers();
    return lane;
  }
}
