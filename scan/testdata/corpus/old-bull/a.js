const Queue = require('bull');
const q = new Queue('orders', 'redis://redis:6379'); // want: REVIEW bull orders
