"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) { return (mod && mod.__esModule) ? mod : { "default": mod }; };
Object.defineProperty(exports, "__esModule", { value: true });
exports.mails = exports.orders = void 0;
const bullmq_1 = require("bullmq");
const ioredis_1 = __importDefault(require("ioredis"));
exports.orders = new bullmq_1.Queue("orders", { connection: new ioredis_1.default("redis://r") }); // want: FAIL queue orders
exports.mails = new bullmq_1.Queue("mails", { // want: PASS queue mails
    connection: new ioredis_1.default("redis://r", { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000 }),
    skipWaitingForReady: true, skipVersionCheck: true,
});
