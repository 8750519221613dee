import { Queue, type ConnectionOptions } from 'bullmq';
import { container } from './container';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const create = (name: string, connection: ConnectionOptions) =>
  new Queue(name, { connection, skipWaitingForReady: true, skipVersionCheck: true }); // want: REVIEW queue
create('a', safe);
container.register('create', create);
