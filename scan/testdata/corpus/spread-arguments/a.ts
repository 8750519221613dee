import { Queue } from 'bullmq';
const args = ['orders', { connection: { host: 'redis' } }] as const;
export const a = new Queue(...args); // want: FAIL queue orders
export const b = (...rest: [string, object]) => new Queue(...rest); // want: REVIEW queue
