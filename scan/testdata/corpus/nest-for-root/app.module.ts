import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
@Module({
  imports: [
    BullModule.forRoot({ connection: { host: 'redis' } }),
    BullModule.registerQueue({ name: 'orders' }), // want: FAIL nest-queue orders
  ],
})
export class AppModule {}
