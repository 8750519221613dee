import { Queue, type QueueOptions } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
class Base extends Queue {
  constructor(name: string, opts?: Partial<QueueOptions>) {
    super(name, { connection: safe, skipWaitingForReady: true, skipVersionCheck: true, ...opts });
  }
}
export const a = new Base('a'); // want: PASS queue a
export const b = new Base('b', { connection: { host: 'x' } }); // want: FAIL queue b
