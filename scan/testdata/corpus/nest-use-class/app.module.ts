import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
class BullConfig {
  createSharedConfiguration() {
    return { connection: { host: 'redis' }, skipWaitingForReady: true, skipVersionCheck: true };
  }
}
@Module({ imports: [BullModule.forRootAsync({ useClass: BullConfig }), BullModule.registerQueue({ name: 'orders' })] }) // want: FAIL nest-queue orders
export class AppModule {}
