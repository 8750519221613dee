// ofrep-provider: one request for each evaluation.
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { serve } from './lines.mjs';

const { SWITCHYARD_URL, SWITCHYARD_TOKEN } = process.env;
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: SWITCHYARD_URL, headers: [['Authorization', `Bearer ${SWITCHYARD_TOKEN}`]] }));
const client = OpenFeature.getClient();
await serve((method, flag, fallback, context) => client[method](flag, fallback, context));
