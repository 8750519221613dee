import IORedis from 'ioredis';
import { Queue, Worker } from 'bullmq';
const connection = new IORedis(process.env.REDIS_URL!, { maxRetriesPerRequest: null });
export const orders = new Queue('orders', { connection }); // want: FAIL queue orders
export const mails = new Queue('mails', { connection }); // want: FAIL queue mails
new Worker('orders', async () => {}, { connection });
