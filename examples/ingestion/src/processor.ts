import { setTimeout as sleep } from "node:timers/promises";
import { dataDigest, type Side } from "@switchyard/bullmq";
import { UnrecoverableError, type Job } from "bullmq";
import type { Execution, Journal, Outcome } from "./journal.js";
import { resultOf, type JobData } from "./order.js";

export interface Place {
  side: Side;
  endpoint: string;
}

/** Runs jobs of one queue on one side. The job's stamp decides what may be done, never the flags of the moment. */
export function processor(place: Place, mode: Execution["mode"], journal: Journal): (job: Job<JobData>) => Promise<{ order: string; outcome: Outcome }> {
  return async (job) => {
    const { order, _switchyard: stamp } = job.data;
    // A server that evicts keys hands out jobs whose data is gone; running one would complete an order that nobody knows.
    if (!order?.id) throw new UnrecoverableError("the job has no order: its data was lost");
    const attempt = job.attemptsMade + 1;
    const authority = stamp?.authority ?? "source";
    const execution = { type: "executed" as const, ...executionOf(place, mode, job), attempt, authority };

    await sleep(2 + (order.amount % 4)); // the work: a call to the shop
    if (attempt <= (order.switchyard_fail_times ?? 0)) throw new Error(`transient failure ${attempt}`);
    const result = resultOf(order);

    let outcome: Outcome;
    if (mode === "shadow") outcome = "compared";
    else if (authority !== place.side && stamp?.movedTo !== place.side) outcome = "misrouted";
    else if (order.canary) outcome = "canary";
    else return { order: order.id, outcome: await journal.apply(order, { ...execution, result }) };
    journal.record({ ...execution, outcome, result });
    return { order: order.id, outcome };
  };
}

/** What identifies the run of a job in the journal, and the data that the worker really got. */
export function executionOf(place: Place, mode: Execution["mode"], job: Job<JobData>): Execution {
  return { order: job.data.order?.id ?? "", jobId: job.id ?? "", queue: routedQueue(job.queueName), side: place.side, endpoint: place.endpoint, mode, attempt: job.attemptsMade, digest: dataDigest(job.data) };
}

// The journal names the queue that the flags route, of which a shadow queue holds the copies.
function routedQueue(name: string): string {
  return name.replace(/-shadow$/, "");
}
