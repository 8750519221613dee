import type { EvaluationDetails, FlagValue as EvaluatedValue } from "@openfeature/web-sdk";
import type { RouterConfig } from "./router.js";

export type TransportConfig = Required<Pick<RouterConfig, "pollMs" | "timeoutMs">> & RouterConfig;

/** How evaluated flags reach the router. What they mean, and whether they may replace what is held, the router decides. */
export interface Transport {
  /** Asks Switchyard once (at most `timeoutMs`), then goes on by itself. Never fails. */
  start(): Promise<void>;
  /** The newest evaluation of the flags that route the queue, by key. */
  values(): Record<string, EvaluationDetails<EvaluatedValue>>;
  /** Nothing goes on after it: no timer, no connection, no watch. */
  close(): Promise<void>;
}

export interface Listener {
  /** `values()` may say something new. */
  onChange(): void;
  /** Whether Switchyard confirms what it last sent. */
  contact(up: boolean): void;
}

/** Defaults of the evaluations, which no flag may have: a default is not an answer. */
export const NO_TEXT = "";
export const NO_NUMBER = -1;

/** Who asks, and with which right. */
export function headersOf({ token, instance, service, version }: RouterConfig): [string, string][] {
  return [
    ["Authorization", `Bearer ${token}`],
    ["X-Worker-Instance", instance],
    ...(service ? [["X-Worker-Service", service] as [string, string]] : []),
    ...(version ? [["X-Worker-Version", version] as [string, string]] : []),
  ];
}
