import { Producer, producerOptions, unsafeProducerOptions, workerOptions } from '@switchyard/bullmq';
import { Queue } from 'bullmq';
const purpose = { service: 's', queue: 'orders', side: 'source' };
const at = { url: process.env.REDIS_URL! };
export const a = new Producer({ queue: 'orders', connection: producerOptions(at, purpose) }); // want: PASS producer orders
export const b = new Producer({ queue: 'orders', connection: producerOptions(at, purpose), safe: false }); // want: FAIL producer orders
export const c = new Producer({ queue: 'orders', connection: unsafeProducerOptions(at, purpose) }); // want: FAIL producer orders
export const d = new Queue('orders', { connection: producerOptions(at, purpose), skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
export const e = new Queue('orders', { connection: producerOptions(at, purpose) }); // want: FAIL queue orders
export const f = new Queue('orders', { connection: workerOptions(at, purpose), skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue orders
import { fromEnvironment, Pipeline } from '@switchyard/bullmq';
declare function own(): never;
const process = async () => undefined;
export const g = new Pipeline({ ...fromEnvironment({}), queue: 'orders', process }); // want: PASS pipeline orders
export const h = new Pipeline({ queue: 'orders', process, producer: own }); // want: REVIEW pipeline orders
export const i = (given: object) => new Pipeline({ queue: 'orders', process, ...given }); // want: REVIEW pipeline
