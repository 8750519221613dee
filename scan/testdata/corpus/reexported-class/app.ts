import { Queue, Jobs } from './lib';
export const a = new Queue('a', {}); // want: FAIL queue a
export const b = new Jobs('b'); // want: FAIL queue b
