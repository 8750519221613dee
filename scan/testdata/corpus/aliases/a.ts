import { Queue as BullQueue, FlowProducer as Flow } from 'bullmq';
import * as bull from 'bullmq';
const Again = BullQueue;
const { Queue: Picked } = bull;
export const all = [
  new BullQueue('a'), // want: FAIL queue a
  new bull.Queue('b'), // want: FAIL queue b
  new Again('c'), // want: FAIL queue c
  new Picked('d'), // want: FAIL queue d
  new Flow(), // want: FAIL flow-producer
  new bull.FlowProducer({ connection: {} }), // want: FAIL flow-producer
];
