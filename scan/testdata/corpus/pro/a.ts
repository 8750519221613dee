import { QueuePro, FlowProducerPro } from '@taskforcesh/bullmq-pro';
export const q = new QueuePro('orders', { connection: { host: 'redis' } }); // want: FAIL queue orders
export const f = new FlowProducerPro({ connection: {} }); // want: FAIL flow-producer
