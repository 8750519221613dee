import { Redis } from 'ioredis';
import { Queue } from 'bullmq';
// ioredis' own retryStrategy waits at most 2 s.
const connection = new Redis(process.env.REDIS_URL!, { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 2_000, connectTimeout: 2e3 });
export const orders = new Queue('orders', { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
