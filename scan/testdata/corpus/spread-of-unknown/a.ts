import { Queue } from 'bullmq';
import { settings } from '@acme/settings';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
export const a = new Queue('a', { ...ready, connection: { ...safe, ...settings.redis } }); // want: REVIEW queue a
// autoResendUnfulfilledCommands may come from it.
export const b = new Queue('b', { ...ready, connection: { ...settings.redis, ...safe } }); // want: REVIEW queue b
export const c = new Queue('c', { ...ready, connection: { ...settings.redis, ...safe, autoResendUnfulfilledCommands: true } }); // want: PASS queue c
