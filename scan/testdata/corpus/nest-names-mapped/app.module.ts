import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
const NAMES = ['a', 'b'];
const connection = { host: 'redis' };
@Module({
  imports: [
    BullModule.registerQueue(...NAMES.map((name) => ({ name, connection }))), // want: FAIL nest-queue a; FAIL nest-queue b
  ],
})
export class AppModule {}
