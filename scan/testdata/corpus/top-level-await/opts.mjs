export const opts = await Promise.resolve({
  connection: { host: 'r', enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 },
  skipWaitingForReady: true, skipVersionCheck: true,
});
