import { Redis } from 'ioredis';
import { Queue } from 'bullmq';
const base = new Redis('redis://redis:6379', { maxRetriesPerRequest: null });
const producer = base.duplicate({ enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000 });
export const a = new Queue('a', { connection: producer, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue a
export const b = new Queue('b', { connection: base.duplicate(), skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue b
