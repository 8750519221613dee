import { Queue } from 'bullmq';
const queues = new Map<string, Queue>();
let shared: Queue | undefined;
export function get(name: string): Queue {
  let q = queues.get(name);
  if (!q) {
    q = new Queue(name, { connection: { host: 'redis' } }); // want: FAIL queue
    queues.set(name, q);
  }
  return q;
}
export const one = () => (shared ??= new Queue('one', { connection: { host: 'redis' } })); // want: FAIL queue one
