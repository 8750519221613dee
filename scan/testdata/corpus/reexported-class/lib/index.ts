export * from 'bullmq';
export { Queue as Jobs } from 'bullmq';
