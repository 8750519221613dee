import { Queue } from 'bullmq';
function options(host: string) {
  return { host, enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
}
const withTimeout = (commandTimeout?: number) => ({ ...options('redis'), commandTimeout });
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
export const a = new Queue('a', { ...ready, connection: options(process.env.HOST!) }); // want: PASS queue a
export const b = new Queue('b', { ...ready, connection: withTimeout(2000) }); // want: PASS queue b
export const c = new Queue('c', { ...ready, connection: withTimeout() }); // want: FAIL queue c
