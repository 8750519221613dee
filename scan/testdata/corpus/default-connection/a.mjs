import { Queue } from 'bullmq';
export const q = new Queue('orders', { connection: { host: process.env.REDIS_HOST ?? 'localhost', port: 6379 } }); // want: FAIL queue orders
