import { Queue } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const on = { enableOfflineQueue: true };
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
export const a = new Queue('a', { ...ready, connection: { ...on, ...safe } }); // want: PASS queue a
export const b = new Queue('b', { ...ready, connection: { ...safe, ...on } }); // want: FAIL queue b
export const c = new Queue('c', { ...ready, connection: Object.assign({}, on, safe) }); // want: PASS queue c
export const d = new Queue('d', { connection: safe, ...ready, ...{ skipWaitingForReady: false } }); // want: FAIL queue d
