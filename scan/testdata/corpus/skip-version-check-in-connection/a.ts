import { Queue } from 'bullmq';
// BullMQ reads skipVersionCheck from the connection too.
const connection = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500, skipVersionCheck: true };
export const q = new Queue('orders', { connection, skipWaitingForReady: true }); // want: PASS queue orders
