import { Queue } from 'bullmq';
export const q = new Queue('orders', { // want: PASS queue orders
  connection: {
    sentinels: [{ host: 's1', port: 26379 }], name: 'mymaster', enableOfflineQueue: false, maxRetriesPerRequest: 1,
    commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500,
  },
  skipWaitingForReady: true, skipVersionCheck: true,
});
