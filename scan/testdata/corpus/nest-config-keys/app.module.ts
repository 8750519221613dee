import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
const safe = {
  connection: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 },
  skipWaitingForReady: true, skipVersionCheck: true,
};
@Module({
  imports: [
    BullModule.forRoot('producers', safe),
    BullModule.forRoot('workers', { connection: { host: 'redis' } }),
    BullModule.registerQueue({ name: 'a', configKey: 'producers' }), // want: PASS nest-queue a
    BullModule.registerQueue({ name: 'b', configKey: 'workers' }), // want: FAIL nest-queue b
    BullModule.registerQueue({ name: 'c' }), // want: REVIEW nest-queue c
  ],
})
export class AppModule {}
