import { Queue } from '@/queues';
export const q = new Queue('orders', {}); // want: REVIEW queue orders
