const Redis = require('ioredis');
const { Queue } = require('bullmq');
const q = new Queue('orders', { connection: new Redis(process.env.REDIS_URL), skipWaitingForReady: true, skipVersionCheck: true }); // want: FAIL queue orders
