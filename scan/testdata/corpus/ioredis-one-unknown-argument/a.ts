import Redis from 'ioredis';
import { Queue } from 'bullmq';
import { config } from './config';
export const q = new Queue('orders', { connection: new Redis(config.redis), skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue orders
