/**
 * A queue of orders that Switchyard can move (`Pipeline`), and the parts that it is made of: safe BullMQ connections,
 * routing by Switchyard's flags, a journal of what happened, and attestation of what an instance really does.
 * It reads no environment but in `fromEnvironment`, and never decides what an order means: that is the app's.
 */
export { Pipeline, RefusedError, type Delivery, type PipelineConfig, type Receipt } from "./pipeline.js";
export { fromEnvironment, type Deployment } from "./environment.js";
export { type FetchHandler, type Middleware } from "./routes.js";
export { type Place, type Run, type Stamp, type Work } from "./processor.js";
export { type OpenProducer } from "./lane.js";
export { type Servers } from "./sides.js";
export {
  type Batch,
  type Entry,
  type Event,
  type Executed,
  type Execution,
  type Journal,
  type Outcome,
  type Page,
  type Stored,
  type TransactionalJournal,
  type Waiting,
} from "./journal.js";
export { PostgresJournal, type PgClient, type PgPool } from "./postgresjournal.js";
export { RedisJournal, type RedisJournalConfig } from "./redisjournal.js";
export { sqlEffects } from "./sqleffects.js";
export { SqliteJournal } from "./sqlitejournal.js";
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
export { Attestor, CONTRACT, reportConsumer, reportProducer, type AttestorConfig, type ConnectionReport } from "./attestation.js";
export { expressUnavailable, fastifyUnavailable, httpUnavailable, unavailable } from "./unavailable.js";
export { DurableIntake, IntakeFullError, type IntakeConfig, type IntakeEvent, type IntakeReport } from "./intake.js";
