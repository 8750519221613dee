// Prints the stage and the authority of one order key, asking the server for each: node node.mjs ORDER_KEY
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';

const { SWITCHYARD_URL, SWITCHYARD_TOKEN } = process.env;
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: SWITCHYARD_URL, headers: [['Authorization', `Bearer ${SWITCHYARD_TOKEN}`]] }));
const client = OpenFeature.getClient();
const order = { targetingKey: process.argv[2] };
for (const flag of ['stage', 'authority']) console.log(`${flag}=${await client.getStringValue(`order-ingestion-${flag}`, '', order)}`);
