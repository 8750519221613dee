const base = { host: process.env.REDIS_HOST, port: Number(process.env.REDIS_PORT) };
export const producer = { ...base, enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export default { ...base, maxRetriesPerRequest: null };
