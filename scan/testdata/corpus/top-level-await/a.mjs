import { Queue } from 'bullmq';
import { opts } from './opts.mjs';
await fetch('http://localhost');
export const q = new Queue('orders', opts); // want: PASS queue orders
export const r = new Queue('mails', { ...opts, skipVersionCheck: false }); // want: FAIL queue mails
