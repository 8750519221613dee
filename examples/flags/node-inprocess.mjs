// Prints the stage and the authority of one order key. It is sent the flags and every change, and evaluates by itself:
// node node-inprocess.mjs ORDER_KEY
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OpenFeature } from '@openfeature/server-sdk';

const { SWITCHYARD_SYNC_ADDR, SWITCHYARD_TOKEN } = process.env;
const [host, port] = SWITCHYARD_SYNC_ADDR.split(':');
await OpenFeature.setProviderAndWait(
  new FlagdProvider({ resolverType: 'in-process', host, port: Number(port), selector: `apiKey=${SWITCHYARD_TOKEN}`, streamDeadlineMs: 0 }),
);
const client = OpenFeature.getClient();
const order = { targetingKey: process.argv[2] };
for (const flag of ['stage', 'authority']) console.log(`${flag}=${await client.getStringValue(`order-ingestion-${flag}`, '', order)}`);
await OpenFeature.close();
