import { Queue } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
function connection() {
  if (process.env.CI) return { host: 'localhost' };
  return safe;
}
export const q = new Queue('q', { connection: connection(), skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue q
