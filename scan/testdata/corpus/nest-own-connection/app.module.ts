import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { producer } from './redis';
@Module({
  imports: [
    BullModule.forRoot({ connection: { host: 'redis' } }),
    BullModule.registerQueue({ name: 'orders', connection: producer, skipWaitingForReady: true, skipVersionCheck: true }), // want: PASS nest-queue orders
  ],
})
export class AppModule {}
