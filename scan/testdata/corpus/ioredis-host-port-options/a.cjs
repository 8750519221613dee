const IORedis = require('ioredis');
const bullmq = require('bullmq');
const connection = new IORedis(6379, 'redis', { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 1500, connectTimeout: 1500 });
exports.q = new bullmq.Queue('orders', { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: PASS queue orders
