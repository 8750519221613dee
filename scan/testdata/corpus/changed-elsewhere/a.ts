import { Queue } from 'bullmq';
import { connection } from './redis';
export const q = new Queue('a', { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue a
