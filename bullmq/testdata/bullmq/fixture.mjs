// fixture.mjs <redis port> <queue> <verb>: one thing a real BullMQ application does. BULLMQ=3, 4 or 5 in the environment chooses an older
// version, PREFIX another key prefix than "bull".
//   add       reads [{name, data, opts}] from standard input, adds each, prints the ids as JSON
//   flow      adds one parent with one child
//   every     adds a scheduler that fires once an hour
//   populate  fills the queue and <queue>-children with every feature the version has; prints {jobs: [key...], scheduler: ms or 0}: the
//             data.k of every job that is still to run, each once
//   produce   prints "ready", then adds jobs with ids p_0, p_1 ... one after the other until standard input ends; prints each id once acknowledged
//   mix       of several queues with commas between them: prints "ready", then obeys lines of standard input until it ends. "go Q" lets producers and
//             others do what BullMQ offers with Q and Q-children at random (SEED): adds of every kind, updates, promotions, removals, pauses and
//             resumes, schedulers. "calm Q" leaves adds that can follow a moved queue one by one, "stop Q" nothing. "finish Q PORT" makes what is delayed on
//             another server due. Prints {q, add: key}, {q, update: key, v}, {q, remove: key} once acknowledged, {q, done: command} for each line
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
} else if (verb === 'mix') {
  await mix();
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

async function mix() {
  let state = Number(process.env.SEED || 1);
  const random = (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const flow = new FlowProducer(base);
  const shops = {};
  for (const q of name.split(',')) {
    shops[q] = { q, queue: new Queue(q, base), children: new Queue(`${q}-children`, base), mode: 'stop', n: 0, kept: [], later: [], loops: [] };
    await shops[q].queue.waitUntilReady();
    await shops[q].children.waitUntilReady();
  }
  const opts = { removeOnComplete: true };
  const add = async (s, more = {}, data = {}, queue = s.queue) => {
    const k = `${s.q}_${s.n++}`;
    const job = await queue.add('order', { k, ...data }, { jobId: k, ...opts, ...more });
    if (job.id === k) print({ q: s.q, add: k }); // else it was deduplicated
    return k;
  };
  const calm = [
    (s) => add(s),
    async (s) => {
      const k = `${s.q}_${s.n++}`;
      await s.queue.add('order', { k }, opts); // with a number for its id
      print({ q: s.q, add: k });
    },
    (s) => add(s, { delay: 50 + random(400) }),
    (s) => add(s, { priority: 1 + random(5) }),
    (s) => add(s, { lifo: true }),
    (s) => add(s, { attempts: 4, backoff: { type: 'fixed', delay: 40 + random(100) } }, { failures: 1 + random(2) }),
    (s) => add(s, { deduplication: { id: `d${random(5)}` } }),
    (s) => add(s, { deduplication: { id: `t${random(5)}`, ttl: 100 } }),
    async (s) => s.kept.push(await add(s, { removeOnComplete: false })),
    (s) => s.kept.length && s.queue.add('order', { k: 'twice' }, { jobId: s.kept[random(s.kept.length)] }), // a second delivery: ignored
    (s) => add(s, {}, {}, s.children),
  ];
  const one = (s) => s.later.splice(random(s.later.length), 1)[0];
  const wild = [
    ...calm,
    async (s) => s.later.push(await add(s, { delay: 3_600_000 })),
    async (s) => s.later.push(await add(s, { delay: 3_600_000, removeOnComplete: false })),
    async (s) => {
      const k = one(s);
      if (!k) return;
      await (await s.queue.getJob(k)).remove();
      print({ q: s.q, remove: k });
    },
    async (s) => {
      const k = one(s);
      if (k) await (await s.queue.getJob(k)).promote();
    },
    async (s) => {
      const k = one(s);
      if (!k) return;
      const job = await s.queue.getJob(k);
      for (let v = 1; v < 4; v++) {
        await job.updateData({ k, v });
        await job.log(`now ${v}`);
        print({ q: s.q, update: k, v });
      }
      s.later.push(k);
    },
    async (s) => {
      const k = one(s);
      if (!k) return;
      await (await s.queue.getJob(k)).changeDelay(7_200_000);
      s.later.push(k);
    },
    async (s) => {
      const keys = [0, 1, 2].map(() => `${s.q}_${s.n++}`);
      await flow.add({
        name: 'parent', queueName: s.q, data: { k: keys[0] }, opts,
        children: [
          { name: 'near', queueName: s.q, data: { k: keys[1] }, opts },
          { name: 'far', queueName: `${s.q}-children`, data: { k: keys[2] }, opts: { ...opts, delay: random(200) } },
        ],
      });
      for (const k of keys) print({ q: s.q, add: k });
    },
    async (s) => {
      await s.queue.pause();
      await sleep(random(60));
      await s.queue.resume();
    },
    (s) => s.queue.upsertJobScheduler(`tick-${s.q}`, { every: 300 + random(3) * 100 }, { name: 'tick', data: { k: 'tick' } }),
    (s) => random(4) === 0 && s.queue.removeJobScheduler(`tick-${s.q}`),
  ];
  const loop = async (s, mode, ops) => {
    while (s.mode === mode) {
      try {
        await ops[random(ops.length)](s);
      } catch (err) {
        if (!/locked|not in a delayed state|Missing key|null|could not be/i.test(String(err.message))) print({ q: s.q, error: String(err.stack) });
      }
      await sleep(1 + random(6));
    }
  };
  print('ready');
  let rest = '';
  for await (const chunk of process.stdin) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const [command, q, other] = line.split(' ');
      const s = shops[q];
      if (command === 'finish') {
        for (const n of [q, `${q}-children`]) {
          const queue = new Queue(n, { ...base, connection: { ...connection, port: Number(other) } });
          await queue.promoteJobs();
          await queue.close();
        }
      } else {
        if (s.mode !== command) {
          s.mode = command;
          await Promise.all(s.loops); // of the mode before
          s.loops = command === 'stop' ? [] : [1, 2, 3].map(() => loop(s, command, command === 'go' ? wild : calm));
        }
      }
      print({ q, done: command });
    }
  }
  for (const s of Object.values(shops)) s.mode = 'stop';
  for (const s of Object.values(shops)) await Promise.all([...s.loops, s.queue.close(), s.children.close()]);
  await flow.close();
}
