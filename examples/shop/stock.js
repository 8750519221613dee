import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { pool } from "./orders.js";

const connect = () => new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });

/** Counts the stock every five seconds: once, however many workers there are. */
export async function countStock() {
  const queue = new Queue("stock", { connection: connect() });
  await queue.upsertJobScheduler("count", { every: 5000 }, { name: "count" });
  return new Worker("stock", () => pool.query("INSERT INTO counts DEFAULT VALUES"), {
    connection: connect(),
  });
}
