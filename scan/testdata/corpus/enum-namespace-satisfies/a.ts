import { Queue, type QueueOptions } from 'bullmq';
enum Names { Orders = 'orders', Mails = 'mails' }
namespace Config {
  export const connection = { host: 'redis' };
}
const opts = {
  connection: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 },
  skipWaitingForReady: true,
  skipVersionCheck: true,
} as const satisfies QueueOptions;
export const a = new Queue(Names.Orders, opts); // want: PASS queue orders
export const b = new Queue(Names.Mails, <QueueOptions>{ connection: { host: 'x' } }); // want: FAIL queue mails
export const c = new Queue('c', { ...opts, connection: Config.connection }); // want: REVIEW queue c
