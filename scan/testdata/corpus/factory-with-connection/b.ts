import { createQueue, mixed } from './a';
const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
createQueue('a', safe);
createQueue('b', { ...safe, host: 'other' });
mixed('c', safe);
mixed('d', { host: 'redis' });
