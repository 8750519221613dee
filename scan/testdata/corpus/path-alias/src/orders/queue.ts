import { producer } from '@app/redis';
import { Queue } from '@lib';
import { gone } from '@app/gone';
export const q = new Queue('orders', { connection: producer, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
export const r = new Queue('mails', { connection: gone, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue mails
