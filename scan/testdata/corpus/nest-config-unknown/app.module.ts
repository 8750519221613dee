import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
@Module({
  imports: [
    BullModule.forRootAsync({ useFactory: (config: ConfigService) => config.getOrThrow('bull'), inject: [ConfigService] }),
    BullModule.registerQueue({ name: 'orders' }), // want: REVIEW nest-queue orders
  ],
})
export class AppModule {}
