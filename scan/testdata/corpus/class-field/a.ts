import { Injectable } from '@nestjs/common';
import { Queue } from 'bullmq';
import IORedis from 'ioredis';
@Injectable()
export class Orders {
  private readonly connection = new IORedis(process.env.REDIS_URL!, { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000 });
  private readonly queue = new Queue('orders', { connection: this.connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
  private late?: Queue;
  constructor(private readonly other: IORedis) {
    this.late = new Queue('late', { connection: this.other, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue late
  }
  get options() { return { connection: this.connection }; }
  make() { return new Queue('made', { ...this.options, skipWaitingForReady: true }); } // want: FAIL queue made
}
