const { Queue } = require('bullmq');
const q = new Queue('orders'); // want: FAIL queue orders
module.exports = q;
