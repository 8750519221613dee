import { Queue } from 'bullmq'; // want: REVIEW file
export const q = new Queue('orders', {
