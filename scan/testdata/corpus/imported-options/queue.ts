import { Queue } from 'bullmq';
import { producer } from './redis';
import worker from './redis';
export const a = new Queue('a', { connection: producer, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue a
export const b = new Queue('b', { connection: worker, skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue b
