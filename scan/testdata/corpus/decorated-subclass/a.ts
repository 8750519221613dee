import { Injectable } from '@nestjs/common';
import { Queue } from 'bullmq';
@Injectable()
export class Orders extends Queue {
  constructor() { super('orders', { connection: { host: 'redis' } }); }
}
export const q = new Orders(); // want: FAIL queue orders
