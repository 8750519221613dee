import { Queue, type QueueOptions } from 'bullmq';
const connection = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
class SafeQueue extends Queue {
  constructor(name: string, opts: Partial<QueueOptions> = {}) {
    super(`app-${name}`, { ...opts, connection, skipWaitingForReady: true, skipVersionCheck: true });
  }
}
class Careless extends Queue {}
class Deeper extends SafeQueue {}
export const a = new SafeQueue('a'); // want: PASS queue a
export const b = new SafeQueue('b', { connection: {} }); // want: PASS queue b
export const c = new Careless('c', { connection }); // want: FAIL queue c
export const d = new Deeper('d'); // want: PASS queue d
