import { Queue } from 'bullmq';
export class Orders extends Queue { // want: FAIL subclass orders
  private constructor() { super('orders', { connection: { host: 'redis' } }); }
  static create() { return new this(); }
}
