// Another app of the shop, on the same Redis: reports and their attachments. No flag routes its queues, so they move whole ("Move the other
// queues"). It runs as two commands, since such apps are pointed at another server by a restart:
//
//   node reports.js fill FILE    queues jobs of every kind, and writes their ids to FILE, one a line
//   node reports.js work FILE    makes whatever is delayed due, runs everything, writes the id of each run to FILE, and ends when nothing is left
//
// The server is REDIS_URL; REDIS_CA names its certificate authority, where that is a private one.
import { once } from "node:events";
import { appendFileSync, readFileSync } from "node:fs";
import { FlowProducer, Queue, Worker, type ConnectionOptions } from "bullmq";
import { Redis } from "ioredis";

const [command, file] = process.argv.slice(2);
const url = process.env["REDIS_URL"];
if (!url || !file || (command !== "fill" && command !== "work")) {
  console.error("usage: REDIS_URL=redis://... node reports.js fill|work FILE");
  process.exit(2);
}
const tls = process.env["REDIS_CA"] ? { tls: { ca: readFileSync(process.env["REDIS_CA"], "utf8") } } : {};
// Producers fail when Redis does; workers wait for it.
const producing = new Redis(url, { enableOfflineQueue: false, commandTimeout: 2000, connectTimeout: 2000, maxRetriesPerRequest: 1, ...tls });
await once(producing, "ready");
const working = new Redis(url, { maxRetriesPerRequest: null, ...tls });
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
const queues = {
  reports: new Queue("reports", { connection: producing as unknown as ConnectionOptions, ...ready }),
  attachments: new Queue("report-attachments", { connection: producing as unknown as ConnectionOptions, ...ready }),
};
const note = (ids: string[]): void => appendFileSync(file, ids.map((id) => id + "\n").join(""));

async function fill(): Promise<void> {
  const plain = Array.from({ length: 200 }, (_, i) => ({ name: "daily", data: { day: i }, opts: { jobId: `daily-${i}` } }));
  const urgent = Array.from({ length: 20 }, (_, i) => ({ name: "urgent", data: { customer: i }, opts: { jobId: `urgent-${i}`, priority: 1 + (i % 3) } }));
  const later = Array.from({ length: 20 }, (_, i) => ({ name: "monthly", data: { month: i }, opts: { jobId: `monthly-${i}`, delay: 3_600_000 * (i + 1) } }));
  const once = { name: "recount", data: {}, opts: { jobId: "recount", deduplication: { id: "recount" } } };
  await queues.reports.addBulk([...plain, ...urgent, ...later, once]);
  const flows = new FlowProducer({ connection: producing as unknown as ConnectionOptions, ...ready });
  const bundles = Array.from({ length: 5 }, (_, i) => ({
    name: "bundle",
    queueName: "reports",
    opts: { jobId: `bundle-${i}` },
    children: ["pdf", "csv"].map((kind) => ({ name: kind, queueName: "report-attachments", opts: { jobId: `bundle-${i}-${kind}` } })),
  }));
  await flows.addBulk(bundles);
  await queues.reports.upsertJobScheduler("digest", { every: 3_600_000 }, { name: "digest" });
  note([...plain, ...urgent, ...later, once, ...bundles, ...bundles.flatMap((b) => b.children)].map((j) => j.opts.jobId));
  await flows.close();
}

async function work(): Promise<void> {
  await queues.reports.promoteJobs();
  const workers = Object.values(queues).map(
    (queue) => new Worker(queue.name, async (job) => note([String(job.id)]), { connection: working as unknown as ConnectionOptions, concurrency: 5 }),
  );
  const left = async (): Promise<number> => {
    const counts = await Promise.all(Object.values(queues).map((q) => q.getJobCounts("wait", "prioritized", "active", "delayed", "waiting-children")));
    const sum = counts.flatMap((c) => Object.values(c)).reduce((a, b) => a + b, 0);
    return sum - (await queues.reports.getJobSchedulersCount()); // the next job of each scheduler is delayed
  };
  while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  await Promise.all(workers.map((worker) => worker.close()));
}

try {
  await (command === "fill" ? fill() : work());
} finally {
  await Promise.all(Object.values(queues).map((queue) => queue.close()));
  producing.disconnect();
  working.disconnect();
}
