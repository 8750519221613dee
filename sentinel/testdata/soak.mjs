// soak.mjs produce|work: a BullMQ application behind Sentinel. SOAK in the environment is {queue, endpoint, plain, replicas}: the endpoint as
// clients/node takes it; plain: the options that BullMQ's documentation shows, instead of the safe ones; replicas: how many must confirm.
//   produce   adds jobs with ids p_0, p_1 ... one after the other; prints {id, sent, at} for each that was acknowledged, {error, sent, at} for others
//   work      prints {id, at} for each job it ran
// Times are milliseconds since 1970. Prints "ready" first; the end of standard input ends it.
import { once } from 'node:events';
import { Worker } from 'bullmq';
import { boundedAdd, Producer, producerOptions, workerOptions } from '@switchyard/bullmq';

const { queue, endpoint, plain, replicas } = JSON.parse(process.env.SOAK);
const verb = process.argv[2];
const print = (value) => process.stdout.write((typeof value === 'string' ? value : JSON.stringify(value)) + '\n');
const ended = once(process.stdin, 'end');
process.stdin.resume();
const purpose = { service: 'soak', queue, side: 'source' };
const { ca, ...signIn } = endpoint;
const documented = { ...signIn, ...(ca && { tls: { ca }, sentinelTLS: { ca }, enableTLSForSentinelMode: true }) };

if (verb === 'work') {
  const connection = plain ? { ...documented, maxRetriesPerRequest: null } : workerOptions(endpoint, purpose);
  const worker = new Worker(queue, async (job) => print({ id: job.id, at: Date.now() }), { connection, concurrency: 4, removeOnComplete: { count: 1000 } });
  worker.on('error', () => {}); // the master goes away
  await worker.waitUntilReady();
  print('ready');
  await ended;
  process.exit(0);
}

const producer = new Producer({ queue, connection: plain ? documented : producerOptions(endpoint, purpose), safe: !plain, replicas: plain ? 0 : replicas });
while (!(await producer.waitReady(1000)));
print('ready');
let open = true;
ended.then(() => (open = false));
for (let i = 0; open; i++) {
  const id = `p_${i}`;
  const sent = Date.now();
  try {
    await boundedAdd(producer, { name: 'order', data: { k: id, pad: 'x'.repeat(200) }, opts: { jobId: id } });
    print({ id, sent, at: Date.now() });
  } catch (err) {
    print({ error: err.message, sent, at: Date.now() });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise((resolve) => setTimeout(resolve, 8));
}
process.exit(0);
