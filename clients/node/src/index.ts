/**
 * Safe BullMQ connections, routing by Switchyard's flags, and attestation of what an instance really does.
 * It never reads the environment and never decides what an order means: that is the app's.
 */
export { bucket, murmur3 } from "./bucket.js";
export { producerOptions, unsafeProducerOptions, workerOptions, type Endpoint, type Purpose } from "./options.js";
export { boundedAdd, Producer, UnavailableError, type Job, type ProducerConfig } from "./producer.js";
export { Consumer, type ConsumerConfig } from "./consumer.js";
export { dataDigest } from "./digest.js";
export { Drill, type DrillAnswer, type DrillConfig, type DrillRequest } from "./drill.js";
export { LastKnownGood } from "./lastknowngood.js";
export {
  flagKeys,
  INITIAL,
  routeOrder,
  shadowSides,
  snapshotOf,
  SOURCE_ENDPOINTS,
  STAGES,
  type FlagValue,
  type Route,
  type Side,
  type Snapshot,
  type SourceEndpoint,
  type Stage,
} from "./routing.js";
export { Router, type Lease, type RouterConfig } from "./router.js";
export { Attestor, reportConsumer, reportProducer, type AttestorConfig, type ConnectionReport } from "./attestation.js";
export { expressUnavailable, fastifyUnavailable, httpUnavailable, unavailable } from "./unavailable.js";
export { DurableIntake, IntakeFullError, type IntakeConfig, type IntakeEvent, type IntakeReport } from "./intake.js";
