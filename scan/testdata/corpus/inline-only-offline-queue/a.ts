import { Queue } from 'bullmq';
// What the documentation of BullMQ recommends, and no more.
export const orders = new Queue('orders', { connection: { host: 'redis', enableOfflineQueue: false } }); // want: FAIL queue orders
