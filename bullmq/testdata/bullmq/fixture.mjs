// fixture.mjs <redis port> <queue> <verb>: one thing a real BullMQ application does. Version 5 with BULLMQ=5 in the environment.
//   add      reads [{name, data, opts}] from standard input, adds each, prints the ids as JSON
//   flow     adds one parent with one child
//   every    adds a scheduler that fires once an hour
//   pause, resume
//   work     prints "ready", then one JSON line {id, name, data} per job it runs, until standard input ends; a job with data.fail
//            throws, one with data.hold ends when standard input does
import { once } from 'node:events';

const { Queue, Worker, FlowProducer } = await import(process.env.BULLMQ === '5' ? 'bullmq5' : 'bullmq');
const [port, name, verb] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port) };

async function readAll(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

if (verb === 'work') {
  const ended = once(process.stdin, 'end');
  process.stdin.resume();
  const worker = new Worker(
    name,
    async (job) => {
      if (job.data?.fail) throw new Error('as asked');
      if (job.data?.hold) await ended;
      process.stdout.write(JSON.stringify({ id: job.id, name: job.name, data: job.data }) + '\n');
    },
    { connection, concurrency: 4, drainDelay: 60, name: 'fixture' },
  );
  worker.on('error', () => {}); // the server goes away in some tests
  await worker.waitUntilReady();
  process.stdout.write('ready\n');
  await ended;
  await worker.close();
} else if (verb === 'flow') {
  const flow = new FlowProducer({ connection });
  await flow.add({ name: 'parent', queueName: name, children: [{ name: 'child', queueName: name }] });
  await flow.close();
} else {
  const queue = new Queue(name, { connection });
  await queue.waitUntilReady();
  if (verb === 'pause') await queue.pause();
  if (verb === 'resume') await queue.resume();
  if (verb === 'every') await queue.upsertJobScheduler('hourly', { every: 3_600_000 });
  if (verb === 'add') {
    const ids = [];
    for (const job of JSON.parse(await readAll(process.stdin))) ids.push((await queue.add(job.name, job.data, job.opts)).id);
    process.stdout.write(JSON.stringify(ids) + '\n');
  }
  await queue.close();
}
