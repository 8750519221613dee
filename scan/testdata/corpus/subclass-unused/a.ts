import { Queue, type QueueOptions } from 'bullmq';
export class Open extends Queue { // want: FAIL subclass
  constructor(name: string) { super(name, { connection: { host: 'redis' } }); }
}
export class Whatever extends Queue { // want: REVIEW subclass
  constructor(name: string, opts: QueueOptions) { super(name, opts); }
}
