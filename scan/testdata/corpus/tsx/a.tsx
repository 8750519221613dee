import { Queue } from 'bullmq';
const queue = new Queue<{ id: string }>('orders', { connection: { host: 'redis' } }); // want: FAIL queue orders
export function Page({ n }: { n: number }) {
  return <button onClick={() => queue.add('x', { id: String(n) })}>add {n}</button>;
}
