// Another team's app on the same Redis, as plain as they come: it knows nothing of Switchyard.
// Whoever moves the server has to find it, and what it leaves there. See `switchyard rehearse
// --neighbour`.
//
//   node app.mjs send FILE   sends a newsletter twice a second until SIGTERM, and works its queue;
//                            "+id" in FILE is a job that was added, "-id" one that ran
//   node app.mjs leave       leaves jobs and a key that nobody works on any more
//
// The server is REDIS_URL; REDIS_CA names its certificate authority, where that is a private one.
import { appendFileSync, readFileSync } from "node:fs";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const [command, file] = process.argv.slice(2);
const { REDIS_URL: url, REDIS_CA: ca } = process.env;
if (!url || (command !== "leave" && !(command === "send" && file))) {
  console.error("usage: REDIS_URL=redis://... node app.mjs send FILE, or leave");
  process.exit(2);
}
const connection = new Redis(url, {
  maxRetriesPerRequest: null,
  ...(ca && { tls: { ca: readFileSync(ca, "utf8") } }),
});

async function send() {
  const note = (line) => appendFileSync(file, line + "\n");
  const queue = new Queue("newsletter", { connection });
  const worker = new Worker("newsletter", async (job) => note("-" + job.id), { connection });
  worker.on("error", () => {}); // it goes on by itself
  queue.on("error", () => {});
  let ended = false;
  process.once("SIGTERM", () => (ended = true));
  for (let i = 0; !ended; i++) {
    const jobId = `letter-${process.pid}-${i}`;
    // one whose add failed was not promised
    await queue.add("letter", {}, { jobId }).then(() => note("+" + jobId), () => {});
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await worker.close();
  await queue.close();
}

async function leave() {
  const queue = new Queue("invoices", { connection });
  for (const i of [1, 2, 3]) await queue.add("invoice", { i });
  await connection.set("cart:1", "2 shirts");
  await queue.close();
}

await (command === "send" ? send() : leave());
connection.disconnect();
