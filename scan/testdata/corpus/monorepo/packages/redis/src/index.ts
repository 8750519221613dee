import { Queue } from 'bullmq';
export const ready = { skipWaitingForReady: true, skipVersionCheck: true };
export const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 } as const;
export { Queue };
