import { createClient } from 'redis';
import { Queue } from 'bullmq';
export const q = new Queue('orders', { connection: createClient({ disableOfflineQueue: true }) as never, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue orders
