import { Cluster } from 'ioredis';
import { Queue } from 'bullmq';
const nodes = [{ host: 'a', port: 7000 }];
export const q = new Queue('{orders}', { connection: new Cluster(nodes, { enableOfflineQueue: false }), skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue {orders}
export const r = new Queue('{mails}', { connection: new Cluster(nodes), skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue {mails}
