import { FlowProducer } from 'bullmq';
const connection = { host: 'redis', enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export const good = new FlowProducer({ connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS flow-producer
export const cold = new FlowProducer({ connection, skipWaitingForReady: true }); // want: FAIL flow-producer
