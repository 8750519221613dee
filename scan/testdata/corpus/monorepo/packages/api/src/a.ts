import { Queue, ready, safe } from '@acme/redis';
import * as again from '#redis';
export const a = new Queue('a', { ...ready, connection: safe }); // want: PASS queue a
export const b = new again.Queue('b', { ...ready, connection: { ...again.safe, commandTimeout: 0 } }); // want: FAIL queue b
