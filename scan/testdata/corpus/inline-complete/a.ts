import { Queue } from 'bullmq';
export const orders = new Queue('orders', { // want: PASS queue orders
  connection: {
    host: 'redis', enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000,
    retryStrategy: (n: number) => Math.min(n * 200, 1000),
  },
  skipWaitingForReady: true, skipVersionCheck: true,
});
