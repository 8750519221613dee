import { Queue, type QueueOptions } from 'bullmq';
const opts: QueueOptions = { connection: { url: process.env.REDIS_URL! } };
export const q = new Queue<{ id: string }>('orders', opts); // want: FAIL queue orders
