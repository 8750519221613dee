import { Queue } from 'bullmq';
const connection = { host: 'redis' };
export const all: Queue[] = [];
for (const name of ['a', 'b']) all.push(new Queue(name, { connection })); // want: FAIL queue
for (const opts of [{ connection }]) all.push(new Queue('c', opts)); // want: REVIEW queue c
