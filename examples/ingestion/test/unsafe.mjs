// The app with producers as they are made elsewhere. Drills show with it what the safe options prevent:
// BREAKER=off knows of no breaker, BREAKER=flag sets enableOfflineQueue: false and nothing else.
import { Producer, unsafeProducerOptions } from "@switchyard/bullmq";
import { start } from "../dist/app.js";

const flag = { off: {}, flag: { enableOfflineQueue: false } }[process.env.BREAKER];
const producer = (endpoint, purpose, replicas, onError) =>
  new Producer({ queue: purpose.queue, connection: { ...unsafeProducerOptions(endpoint, purpose), ...flag }, safe: false, onError });
// It waits for no replica: a WAIT would hide what the bare options do.
await start(process.env, { producer, replicas: 0 });
