import { Queue } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
const prod = process.env.NODE_ENV === 'production';
export const a = new Queue('a', { ...ready, connection: prod ? safe : { host: 'localhost' } }); // want: REVIEW queue a
export const b = new Queue('b', { ...ready, connection: prod ? { ...safe, host: 'x' } : { ...safe, host: 'y' } }); // want: PASS queue b
export const c = new Queue('c', { ...ready, connection: prod ? { host: 'x' } : { host: 'y' } }); // want: FAIL queue c
export const d = new Queue('d', { ...ready, connection: { ...(prod && safe) } }); // want: REVIEW queue d
export const e = new Queue('e', { ...ready, connection: { ...safe, ...(prod && { tls: {} }) } }); // want: PASS queue e
