import { bucket } from "./bucket.js";

/** Stages of a queue's migration, in order; `off` is the safe one. */
export const STAGES = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"] as const;
export type Stage = (typeof STAGES)[number];

/** Which server stands behind the source side; `none` means that it must not be contacted at all. */
export const SOURCE_ENDPOINTS = ["standalone", "sentinel", "none"] as const;
export type SourceEndpoint = (typeof SOURCE_ENDPOINTS)[number];

export type Side = "source" | "target";

export interface FlagValue {
  value: string | number;
  /** Last change of this flag. */
  revision: number;
}

/** One consistent set of flag values. Immutable: a change is a new snapshot. */
export interface Snapshot {
  stage: Stage;
  /** Percent of order keys whose authority is the target while `live`. */
  ramp: number;
  sourceEndpoint: SourceEndpoint;
  /** Revision of the whole flag set; 0 when nothing was ever received. */
  revision: number;
  /** Id of the flag set; absent when the server did not say. Revisions of two sets cannot be compared. */
  set?: string;
  flags: Record<string, FlagValue>;
}

export interface Route extends Pick<Snapshot, "stage" | "ramp" | "sourceEndpoint" | "revision"> {
  /** The side that executes the order. */
  authority: Side;
  /** The side that gets a copy to compare with; null for none. */
  shadow: Side | null;
}

/** The keys that route one queue; `prefix:name` is prefix.name there. */
export function flagKeys(queue: string): { stage: string; ramp: string; sourceEndpoint: string } {
  const base = queue.replace(/[^A-Za-z0-9_-]/gu, ".").replace(/^[._-]+/, "");
  return { stage: `${base}-stage`, ramp: `${base}-ramp`, sourceEndpoint: "source-endpoint" };
}

/** What holds when nothing is known: the old server, alone. */
export const INITIAL: Snapshot = { stage: "off", ramp: 0, sourceEndpoint: "standalone", revision: 0, flags: {} };

/**
 * Builds a snapshot from flag values.
 * @throws Error naming the flag whose value is missing or unknown: half an answer must not replace a whole one.
 */
export function snapshotOf(queue: string, flags: Record<string, FlagValue>, revision: number, set?: string): Snapshot {
  const keys = flagKeys(queue);
  const stage = STAGES.find((s) => s === flags[keys.stage]?.value);
  const ramp = flags[keys.ramp]?.value;
  const sourceEndpoint = SOURCE_ENDPOINTS.find((s) => s === flags[keys.sourceEndpoint]?.value);
  if (!stage) throw new Error(`flag ${keys.stage} has no known value`);
  if (typeof ramp !== "number" || !Number.isInteger(ramp) || ramp < 0 || ramp > 100) throw new Error(`flag ${keys.ramp} is not a percentage`);
  if (!sourceEndpoint) throw new Error(`flag ${keys.sourceEndpoint} has no known value`);
  return { stage, ramp, sourceEndpoint, revision, ...(set && { set }), flags };
}

/** Decides one order. Pure: the same snapshot and key give the same answer everywhere. */
export function routeOrder(queue: string, snapshot: Snapshot, orderKey: string): Route {
  const { stage, ramp, sourceEndpoint, revision } = snapshot;
  const base = { stage, ramp, sourceEndpoint, revision };
  switch (stage) {
    case "off":
      return { ...base, authority: "source", shadow: null };
    case "dualwrite":
    case "shadow":
      return { ...base, authority: "source", shadow: "target" };
    case "live":
      return bucket(flagKeys(queue).stage, orderKey) < ramp
        ? { ...base, authority: "target", shadow: "source" }
        : { ...base, authority: "source", shadow: "target" };
    case "rampdown":
      return { ...base, authority: "target", shadow: "source" };
    case "complete":
      return { ...base, authority: "target", shadow: null };
  }
}

/** Sides whose shadow copies are executed (without side effects) rather than left waiting. */
export function shadowSides(stage: Stage): Side[] {
  if (stage === "shadow") return ["target"];
  return stage === "live" ? ["source", "target"] : [];
}
