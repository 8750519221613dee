import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
@Module({
  imports: [
    BullModule.forRootAsync({
      imports: [ConfigModule],
      useFactory: async (config: ConfigService) => ({
        connection: {
          host: config.get('REDIS_HOST'), port: config.get<number>('REDIS_PORT'), enableOfflineQueue: false, maxRetriesPerRequest: 1,
          commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500,
        },
        skipWaitingForReady: true,
        skipVersionCheck: true,
      }),
      inject: [ConfigService],
    }),
    BullModule.registerQueue({ name: 'orders' }), // want: PASS nest-queue orders
    BullModule.registerFlowProducer({ name: 'flows', skipWaitingForReady: false }), // want: FAIL nest-flow-producer flows
    BullModule.registerQueueAsync({ name: 'mails', useFactory: () => ({ connection: { host: 'redis' } }) }), // want: FAIL nest-queue mails
    BullModule.registerQueueAsync({ name: 'class', useClass: Unknown }), // want: REVIEW nest-queue class
  ],
})
export class AppModule {}
import { Unknown } from '@acme/config';
