import { Queue } from 'bullmq';
export const View = () => <p>{'new Queue("no")'}</p>;
export async function action() {
  'use server';
  return new Queue('orders'); // want: FAIL queue orders
}
