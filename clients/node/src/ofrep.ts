import { randomUUID } from "node:crypto";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents, type Client } from "@openfeature/web-sdk";
import { flagKeys } from "./routing.js";
import { headersOf, NO_NUMBER, NO_TEXT, type Listener, type Transport, type TransportConfig } from "./transport.js";

/** Polls Switchyard's evaluations over OFREP. */
export class Ofrep implements Transport {
  readonly #config: TransportConfig;
  readonly #listener: Listener;
  readonly #domain = `switchyard-${randomUUID()}`;
  readonly #client: Client;
  #provider: OFREPWebProvider | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(config: TransportConfig, listener: Listener) {
    this.#config = config;
    this.#listener = listener;
    this.#client = OpenFeature.getClient(this.#domain);
    this.#client.addHandler(ProviderEvents.ConfigurationChanged, () => listener.onChange());
    this.#client.addHandler(ProviderEvents.Stale, () => listener.contact(false));
  }

  // The provider polls only after a first success, so a cold start with Switchyard down needs a new one per attempt.
  async start(): Promise<void> {
    const { url, instance, pollMs, timeoutMs, log } = this.#config;
    this.#provider = new OFREPWebProvider({
      baseUrl: url,
      headers: headersOf(this.#config),
      pollInterval: pollMs,
      timeoutMs,
      changeDetection: "polling",
      cacheMode: "disabled",
      fetchImplementation: (input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init),
    });
    try {
      await OpenFeature.setProviderAndWait(this.#domain, this.#provider, { targetingKey: instance });
      this.#listener.onChange();
    } catch (err) {
      log?.("flags-unreachable", { error: (err as Error).message });
      if (!this.#closed) this.#retry = setTimeout(() => void this.start(), pollMs);
    }
  }

  values(): ReturnType<Transport["values"]> {
    const { stage, ramp, sourceEndpoint } = flagKeys(this.#config.queue);
    return {
      [stage]: this.#client.getStringDetails(stage, NO_TEXT),
      [ramp]: this.#client.getNumberDetails(ramp, NO_NUMBER),
      [sourceEndpoint]: this.#client.getStringDetails(sourceEndpoint, NO_TEXT),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#provider?.onClose?.();
  }

  // The provider stops its clock at the response head; reading the body here keeps a server that freezes in the middle
  // of it from stopping the polling for good.
  async #fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    try {
      const res = await fetch(input, init);
      const body = await res.arrayBuffer();
      this.#listener.contact(res.status === 200 || res.status === 304);
      return new Response(body.byteLength > 0 ? body : null, { status: res.status, headers: res.headers });
    } catch (err) {
      this.#listener.contact(false);
      throw err;
    }
  }
}
