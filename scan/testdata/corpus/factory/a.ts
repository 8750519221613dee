import { Queue } from 'bullmq';
const connection = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export function createQueue(name: string) {
  return new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue
}
export const orders = createQueue('orders');
