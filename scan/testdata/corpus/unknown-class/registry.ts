import * as bullmq from 'bullmq';
export const registry: Record<string, any> = { a: bullmq.Queue }; // want: REVIEW class
