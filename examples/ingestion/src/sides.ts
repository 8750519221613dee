import { shadowSides, type ConnectionReport, type Endpoint, type Side, type Snapshot, type SourceEndpoint } from "@switchyard/bullmq";
import type { Config } from "./config.js";
import type { Journal } from "./journal.js";
import { Lane, type OpenProducer } from "./lane.js";
import { log } from "./log.js";

/** The two sides, rebuilt as the flags say. */
export class Sides {
  readonly #config: Config;
  readonly #journal: Journal;
  readonly #open: OpenProducer;
  readonly #lanes: Record<Side, Lane | undefined> = { source: undefined, target: undefined };
  #retiring: Lane | undefined;

  constructor(config: Config, journal: Journal, open: OpenProducer) {
    this.#config = config;
    this.#journal = journal;
    this.#open = open;
    if (config.target) {
      this.#lanes.target = this.#lane("target", "managed", config.target);
      this.#lanes.target.startWorker();
    }
  }

  /** The lane of a side, or why there is none. */
  lane(side: Side, snapshot: Snapshot): Lane | string {
    const lane = this.#lanes[side];
    if (lane) return lane;
    return side === "target" ? "TARGET_REDIS_URL is not set" : `there is no source server: source-endpoint is ${snapshot.sourceEndpoint}`;
  }

  connections(): ConnectionReport[] {
    return [this.#lanes.source, this.#retiring, this.#lanes.target].flatMap((lane) => lane?.connections() ?? []);
  }

  /**
   * Follows a snapshot. New producers come first, so that no order is refused while the old workers finish; the new
   * worker starts last, because during a replication swap both servers hold the same jobs.
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
      next?.startWorker();
      log("source-endpoint", { endpoint: next?.endpoint ?? "none" });
    }
    const shadows = shadowSides(snapshot.stage);
    await Promise.all((["source", "target"] as const).map((side) => this.#lanes[side]?.runShadow(shadows.includes(side))));
  }

  async close(): Promise<void> {
    await Promise.all([this.#lanes.source?.retire(), this.#lanes.target?.retire()]);
  }

  #source(endpoint: SourceEndpoint): Endpoint | undefined {
    if (endpoint === "none") return undefined;
    const connection = this.#config[endpoint];
    if (!connection) log("source-endpoint-unknown", { endpoint, error: "its address is not configured" });
    return connection;
  }

  #lane(side: Side, endpoint: string, connection: Endpoint): Lane {
    const { service, queue } = this.#config;
    return new Lane({ side, endpoint, service, queue, connection, journal: this.#journal, open: this.#open, replicas: endpoint === "sentinel" ? this.#config.waitReplicas : 0 });
  }
}
