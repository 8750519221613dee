import { Queue } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export function make(name: string, connection = safe) {
  return new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue a
}
make('a');
