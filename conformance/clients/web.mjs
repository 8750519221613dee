// ofrep-web-provider: all flags for one context, kept, and evaluated again when the server's event stream says so.
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderStatus } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';
import { setTimeout as pause } from 'node:timers/promises';
import { serve } from './lines.mjs';

globalThis.EventSource = EventSource;
const { SWITCHYARD_URL, SWITCHYARD_TOKEN } = process.env;
const newProvider = () =>
  new OFREPWebProvider({ baseUrl: SWITCHYARD_URL, headers: [['Authorization', `Bearer ${SWITCHYARD_TOKEN}`]], cacheMode: 'disabled' });

// The provider does not try its first request again.
(async () => {
  for (;;) {
    try {
      return await OpenFeature.setProviderAndWait(newProvider());
    } catch {
      await pause(200);
    }
  }
})();

const client = OpenFeature.getClient();
let current = '{}';
await serve(async (method, flag, fallback, context) => {
  const wanted = JSON.stringify(context);
  if (wanted !== current && client.providerStatus !== ProviderStatus.NOT_READY) {
    await OpenFeature.setContext(context);
    current = wanted;
  }
  return client[method](flag, fallback);
});
