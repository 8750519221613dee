import { Queue } from 'bullmq';
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
const a = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
if (process.env.DEBUG) (a as { enableOfflineQueue: boolean }).enableOfflineQueue = true;
export const q = new Queue('a', { ...ready, connection: a }); // want: REVIEW queue a
const b: Record<string, unknown> = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
delete b.commandTimeout;
export const r = new Queue('b', { ...ready, connection: b }); // want: REVIEW queue b
let c = { host: 'x' };
c = { host: 'y' };
export const s = new Queue('c', { ...ready, connection: c }); // want: FAIL queue c
