import { Queue } from 'bullmq';
export const q = new Queue('orders', { // want: REVIEW queue orders
  connection: {
    host: 'redis', enableOfflineQueue: process.env.OFFLINE_QUEUE === 'true', maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500,
  },
  skipWaitingForReady: true, skipVersionCheck: true,
});
