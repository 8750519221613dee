// fixture.mjs <redis port> <queue> <verb>: one thing a real BullMQ application does. BULLMQ=3, 4 or 5 in the environment chooses an older
// version, PREFIX another key prefix than "bull".
//   add       reads [{name, data, opts}] from standard input, adds each, prints the ids as JSON
//   flow      adds one parent with one child
//   every     adds a scheduler that fires once an hour
//   populate  fills the queue and <queue>-children with every feature the version has; prints {jobs: [key...], scheduler: ms or 0}: the
//             data.k of every job that is still to run, each once
//   produce   prints "ready", then adds jobs with ids p_0, p_1 ... one after the other until standard input ends; prints each id once acknowledged
//   pause, resume
//   call      reads {job, method, args} from standard input and calls that method of the job, or of the queue when job is missing
//   work      prints "ready", then one JSON line {id, name, data, attempt} per job it ran, until standard input ends; a job with data.fail
//             throws, data.failures=n throws at the first n attempts, one with data.hold ends when standard input does
import { once } from 'node:events';

const major = process.env.BULLMQ ?? '6';
const { Queue, Worker, FlowProducer } = await import({ 3: 'bullmq3', 4: 'bullmq4', 5: 'bullmq5' }[major] ?? 'bullmq');
const [port, name, verb] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port) };
const base = { connection, prefix: process.env.PREFIX || 'bull' };

async function readAll(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

const print = (value) => process.stdout.write((typeof value === 'string' ? value : JSON.stringify(value)) + '\n');

function startWorker(queueName, options, process_) {
  const worker = new Worker(queueName, process_, { ...base, concurrency: 4, ...options });
  worker.on('error', () => {}); // the server goes away in some tests
  return worker;
}

if (verb === 'work') {
  const ended = once(process.stdin, 'end');
  process.stdin.resume();
  const run = async (job) => {
    if (job.data?.fail || (job.data?.failures ?? 0) > job.attemptsMade) throw new Error('as asked');
    if (job.data?.hold) await ended;
    print({ id: job.id, name: job.name, data: job.data, attempt: job.attemptsMade });
    return { done: job.data?.k ?? job.id };
  };
  const limit = process.env.LIMIT ? { limiter: { max: Number(process.env.LIMIT), duration: 1000 } } : {};
  const workers = name.split(',').map((n) => startWorker(n, { drainDelay: 60, name: 'fixture', concurrency: Number(process.env.CONCURRENCY || 4), ...limit }, run));
  for (const w of workers) await w.waitUntilReady();
  print('ready');
  await ended;
  for (const w of workers) await w.close();
} else if (verb === 'flow') {
  const flow = new FlowProducer(base);
  await flow.add({ name: 'parent', queueName: name, children: [{ name: 'child', queueName: name }] });
  await flow.close();
} else if (verb === 'populate') {
  await populate();
} else {
  const queue = new Queue(name, base);
  await queue.waitUntilReady();
  if (verb === 'pause') await queue.pause();
  if (verb === 'resume') await queue.resume();
  if (verb === 'every') await queue.upsertJobScheduler('hourly', { every: 3_600_000 });
  if (verb === 'add') {
    const ids = [];
    for (const job of JSON.parse(await readAll(process.stdin))) ids.push((await queue.add(job.name, job.data, job.opts)).id);
    print(ids);
  }
  if (verb === 'call') {
    const { job, method, args } = JSON.parse(await readAll(process.stdin));
    const on = job ? await queue.getJob(job) : queue;
    print((await on[method](...(args ?? []))) ?? null);
  }
  if (verb === 'produce') {
    queue.on('error', () => {});
    let open = true;
    once(process.stdin, 'end').then(() => (open = false));
    process.stdin.resume();
    print('ready');
    for (let i = 0; open; i++) {
      const id = `p_${i}`;
      await queue.add('order', { k: id, pad: 'x'.repeat(200) }, { jobId: id, removeOnComplete: true });
      print(id);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  await queue.close();
}

async function populate() {
  const queue = new Queue(name, base);
  await queue.waitUntilReady();
  const keys = [];
  const add = (k, opts = {}, data = {}) => (keys.push(k), queue.add('order', { k, ...data }, opts));

  // History: completed with results, logs and progress; failed for good; and some that wait for another try.
  const seen = { completed: 0, failed: 0 };
  const worker = startWorker(name, { concurrency: 2 }, async (job) => {
    await job.log('looked at');
    await job.updateProgress(50);
    if (job.data.fail || (job.data.failures ?? 0) > job.attemptsMade) throw new Error('as asked');
    return { done: job.data.k };
  });
  const settled = new Promise((resolve) => {
    const check = () => seen.completed >= 5 && seen.failed >= 5 && resolve();
    worker.on('completed', () => (seen.completed++, check()));
    worker.on('failed', () => (seen.failed++, check()));
  });
  for (let i = 0; i < 5; i++) await queue.add('order', { k: `done_${i}` }, { jobId: `done_${i}` });
  for (let i = 0; i < 2; i++) await queue.add('order', { k: `dead_${i}`, fail: true }, { jobId: `dead_${i}` });
  for (let i = 0; i < 3; i++) await add(`retry_${i}`, { jobId: `retry_${i}`, attempts: 5, backoff: { type: 'fixed', delay: 6000 + 10 * i } }, { failures: 2 });
  await settled;
  await worker.close();

  for (let i = 0; i < 20; i++) await add(`custom_${i}`, { jobId: `custom_${i}` });
  for (let i = 0; i < 10; i++) await add(`auto_${i}`);
  for (let i = 0; i < 3; i++) await add(`lifo_${i}`, { lifo: true });
  for (let i = 0; i < 10; i++) await add(`delayed_${i}`, { delay: 5000 + 5 * i });
  for (let i = 0; i < 10; i++) await add(`priority_${i}`, { priority: 1 + ((7 * i) % 10) });
  const logged = await add('logged', { jobId: 'logged' });
  await logged.log('first line');
  await logged.log('second line');
  await logged.updateProgress({ part: 1 });

  const flow = new FlowProducer(base);
  for (let i = 0; i < 3; i++) {
    keys.push(`parent_${i}`, `near_${i}`, `far_${i}`);
    await flow.add({
      name: 'parent', queueName: name, data: { k: `parent_${i}` },
      children: [
        { name: 'near', queueName: name, data: { k: `near_${i}` } },
        { name: 'far', queueName: `${name}-children`, data: { k: `far_${i}` }, opts: { delay: 10 * i } },
      ],
    });
  }
  await flow.close();

  let scheduler = 0;
  if (major >= '5') {
    scheduler = 3000;
    await queue.upsertJobScheduler('tick', { every: scheduler }, { name: 'tick', data: { k: 'tick' } });
    await add('dedup_ttl', { deduplication: { id: 'd1', ttl: 600_000 } });
    await queue.add('order', { k: 'dedup_ttl' }, { deduplication: { id: 'd1', ttl: 600_000 } });
    await add('dedup_simple', { deduplication: { id: 'd2' } });
  }
  await queue.close();
  print({ jobs: keys, scheduler });
}
