import Bull from 'bull';
export const q = new Bull('orders', { redis: { enableOfflineQueue: false } }); // want: REVIEW bull orders
