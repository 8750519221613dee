import pg from "pg";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });

const connect = () => new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });

let queue;

/** Adds an order once, however often the webhook comes. */
export async function enqueue(order) {
  queue ??= new Queue("orders", { connection: connect() });
  await queue.add("order", order, { jobId: order.id, attempts: 5, backoff: 1000 });
}

/** Runs orders until it is closed. */
export function work() {
  return new Worker("orders", (job) => fulfil(job.data), { connection: connect() });
}

/** Fulfils an order: here it is a row that says so. */
async function fulfil(order) {
  await pool.query("INSERT INTO orders (id, cents) VALUES ($1, $2)", [order.id, order.cents]);
}
