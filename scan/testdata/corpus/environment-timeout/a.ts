import { Queue } from 'bullmq';
export const q = new Queue('orders', { // want: REVIEW queue orders
  connection: {
    enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: Number(process.env.TIMEOUT ?? 2000), connectTimeout: 2000, retryStrategy: () => 500,
  },
  skipWaitingForReady: true, skipVersionCheck: true,
});
