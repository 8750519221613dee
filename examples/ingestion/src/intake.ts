import { boundedAdd, dataDigest, type Lease, type Route, type Router, type Side } from "@switchyard/bullmq";
import type { Journal } from "./journal.js";
import { jobId, type JobData, type Order } from "./order.js";
import type { Sides } from "./sides.js";

// The copy must not make the provider wait: half of what an authoritative add may take.
const shadowDeadlineMs = 1000;

/** How an order fared. `error` is undefined once the authoritative side has it for certain. */
export interface Receipt {
  side: Side;
  endpoint: string;
  error: string | undefined;
}

/** Takes orders in: routes each once, stamps it, and enqueues it. */
export class Intake {
  constructor(
    readonly router: Router,
    readonly sides: Sides,
    readonly journal: Journal,
    readonly queue: string,
  ) {}

  /** Never throws; an order without an error is enqueued (and confirmed, where replicas must). */
  async accept(order: Order): Promise<Receipt> {
    const lease = this.router.begin();
    try {
      const route = lease.route(order.id);
      const receipt = await this.#enqueue(order, route, route.authority, lease);
      // Within the request: should this process die here, the provider delivers again and the copy is made up for.
      if (!receipt.error && route.shadow) await this.#enqueue(order, route, route.shadow, lease);
      return receipt;
    } finally {
      lease.end();
    }
  }

  async #enqueue(order: Order, route: Route, side: Side, lease: Lease): Promise<Receipt> {
    const shadow = side !== route.authority;
    const data: JobData = { order, _switchyard: { authority: route.authority, stage: route.stage, revision: route.revision } };
    const id = jobId(order);
    const job = {
      name: this.queue,
      data,
      opts: {
        jobId: id,
        attempts: 8,
        backoff: { type: "exponential", delay: 500 },
        removeOnComplete: { count: 1000 },
        removeOnFail: false,
        delay: order.switchyard_delay_ms ?? 0,
      },
    };
    const lane = this.sides.lane(side, lease.snapshot);
    let endpoint: string = side === "source" ? route.sourceEndpoint : "managed";
    let error: string | undefined;
    if (typeof lane === "string") error = lane;
    else {
      endpoint = lane.endpoint;
      try {
        await lane.use(shadow ? "shadow" : "main", (producer) => boundedAdd(producer, job, shadow ? shadowDeadlineMs : undefined));
      } catch (err) {
        error = (err as Error).message;
      }
    }
    const { stage, revision, authority } = route;
    this.journal.record({ type: "enqueued", order: order.id, jobId: id, queue: this.queue, side, endpoint, shadow, ok: !error, ...(error && { error }), stage, revision, authority, canary: order.canary ?? false, digest: dataDigest(data) });
    return { side, endpoint, error };
  }
}
