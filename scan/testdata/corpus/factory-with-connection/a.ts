import { Queue, type ConnectionOptions } from 'bullmq';
export function createQueue(name: string, connection: ConnectionOptions) {
  return new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue
}
export function unseen(name: string, connection: ConnectionOptions) {
  return new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue
}
export function mixed(name: string, connection: ConnectionOptions) {
  return new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue
}
