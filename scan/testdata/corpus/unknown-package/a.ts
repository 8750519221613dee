import { Queue } from '@acme/jobs';
export const q = new Queue('orders'); // want: REVIEW queue orders
