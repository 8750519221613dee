// flagd-provider, in-process: it evaluates by itself, and is sent every change. It can send no headers, hence the key in the selector.
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { serve } from './lines.mjs';

const { SWITCHYARD_SYNC_ADDR, SWITCHYARD_TOKEN } = process.env;
const [host, port] = SWITCHYARD_SYNC_ADDR.split(':');
// A deadline would end the stream every ten minutes.
OpenFeature.setProvider(new FlagdProvider({ resolverType: 'in-process', host, port: Number(port), selector: `apiKey=${SWITCHYARD_TOKEN}`, streamDeadlineMs: 0 }));
const client = OpenFeature.getClient();
await serve((method, flag, fallback, context) => client[method](flag, fallback, context));
