import { Queue } from 'bullmq';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
export const qs = [
  new Queue('timeout', { ...ready, connection: { ...safe, commandTimeout: 30 * 1000 } }), // want: FAIL queue timeout
  new Queue('retries', { ...ready, connection: { ...safe, maxRetriesPerRequest: null } }), // want: FAIL queue retries
  new Queue('connect', { ...ready, connection: { ...safe, connectTimeout: 10_000 } }), // want: FAIL queue connect
  new Queue('resend', { ...ready, connection: { ...safe, autoResendUnfulfilledCommands: false } }), // want: FAIL queue resend
  new Queue('backoff', { ...ready, connection: { ...safe, retryStrategy: (n: number) => Math.max(Math.min(Math.exp(n), 20000), 1000) } }), // want: FAIL queue backoff
  new Queue('gives-up', { ...ready, connection: { ...safe, retryStrategy: (n: number) => (n > 10 ? null : 500) } }), // want: FAIL queue gives-up
  new Queue('gives-up-too', { ...ready, connection: { ...safe, retryStrategy(n: number) { if (n < 5) return 200; } } }), // want: FAIL queue gives-up-too
  new Queue('no-strategy', { ...ready, connection: { ...safe, retryStrategy: undefined } }), // want: FAIL queue no-strategy
  new Queue('computed', { ...ready, connection: { ...safe, retryStrategy: (n: number) => n * 50 } }), // want: REVIEW queue computed
  new Queue('text', { ...ready, connection: { ...safe, enableOfflineQueue: 'false' as never } }), // want: FAIL queue text
];
