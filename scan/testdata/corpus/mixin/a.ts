import { Queue } from 'bullmq';
import { traced } from '@acme/tracing';
const Traced = traced(Queue); // want: REVIEW class
export const q = new Traced('orders');
