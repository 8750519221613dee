import { BullModule, InjectQueue, Processor, WorkerHost } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import type { Queue } from 'bullmq';
const connection = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
@Module({
  imports: [
    BullModule.registerQueue( // want: PASS nest-queue orders; PASS nest-queue mails
      { name: 'orders', connection, skipWaitingForReady: true, skipVersionCheck: true },
      { name: 'mails', connection, skipWaitingForReady: true, skipVersionCheck: true },
    ),
  ],
})
export class AppModule {
  constructor(@InjectQueue('orders') private readonly orders: Queue, @InjectQueue('elsewhere') private readonly other: Queue) {} // want: REVIEW nest-queue elsewhere
}
// It takes the queue's connection, and with it the command timeout.
@Processor('orders') // want: FAIL worker orders
export class OrdersProcessor extends WorkerHost { async process() {} }
@Processor('mails', { connection: { host: 'redis', maxRetriesPerRequest: null } })
export class MailsProcessor extends WorkerHost { async process() {} }
