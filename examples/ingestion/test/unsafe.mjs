// The app with producers as they are made elsewhere. Drills show with it what the safe options prevent:
// BREAKER=off knows of no breaker, BREAKER=flag sets enableOfflineQueue: false and nothing else.
import { createRequire } from "node:module";
import { Producer, unsafeProducerOptions } from "@switchyard/bullmq";
import { start } from "../dist/app.js";

const flag = { off: {}, flag: { enableOfflineQueue: false } }[process.env.BREAKER];
// Behind the pipeline's back: an app has no such switch.
createRequire(import.meta.url)("../../../clients/node/dist/lane.js").openProducer = (endpoint, purpose, replicas, onError) =>
  new Producer({ queue: purpose.queue, connection: { ...unsafeProducerOptions(endpoint, purpose), ...flag }, safe: false, onError });
// It waits for no replica: a WAIT would hide what the bare options do.
await start({ ...process.env, WAIT_REPLICAS: "0" });
