import { createRequire } from 'node:module';
const load = createRequire(import.meta.url);
const { Queue: Q } = load('bullmq');
export const q = new Q('orders', {}); // want: FAIL queue orders
