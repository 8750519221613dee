import { Queue, FlowProducer } from 'bullmq';
import { asClass, asValue } from 'awilix';
export const registrations = {
  queue: asClass(Queue), // want: REVIEW class
  flows: { useClass: FlowProducer }, // want: REVIEW class
  made: Reflect.construct(Queue, ['orders']), // want: REVIEW class
  fine: asValue(1),
};
export const isQueue = (x: unknown) => x instanceof Queue;
