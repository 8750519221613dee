import { OrdersQueue } from '@acme/jobs';
import { registry } from './registry';
const connection = { host: 'redis' };
export const a = new OrdersQueue('orders', { connection }); // want: REVIEW queue orders
export const b = new registry[process.env.KIND!]('mails', { connection }); // want: REVIEW queue mails
