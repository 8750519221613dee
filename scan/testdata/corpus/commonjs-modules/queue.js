'use strict';
const { Queue } = require('bullmq');
const options = require('./options');
const { connection } = require('./options');
const other = require('./other');
exports.a = new Queue('a', options); // want: PASS queue a
exports.b = new Queue('b', { connection }); // want: FAIL queue b
module.exports.c = new Queue('c', { ...options, connection: other.connection }); // want: FAIL queue c
