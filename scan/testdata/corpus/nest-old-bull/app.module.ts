import { BullModule } from '@nestjs/bull';
import { Module } from '@nestjs/common';
@Module({ imports: [BullModule.forRoot({ redis: { host: 'redis' } }), BullModule.registerQueue({ name: 'orders' })] }) // want: REVIEW bull orders
export class AppModule {}
