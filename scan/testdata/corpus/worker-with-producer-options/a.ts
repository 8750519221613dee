import { Queue, Worker, QueueEvents } from 'bullmq';
const connection = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export const q = new Queue('orders', { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
export const w = new Worker('orders', async () => {}, { connection }); // want: FAIL worker orders
export const fine = new Worker('orders', async () => {}, { connection: { host: 'redis', maxRetriesPerRequest: null } });
export const events = new QueueEvents('orders', { connection: { host: 'redis' } });
