import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Executed } from "./journal.js";
import { sha256, type Order } from "./order.js";

/** An order that took effect, and the execution by which it did. */
export interface Effect {
  order: Order;
  at: number;
  /** Epoch of the journal that writes it down. */
  by: string;
  execution: Omit<Executed, "outcome">;
}

/**
 * Where orders take effect, once each, whichever of several instances runs them: a folder that all of them share, with a
 * file for each order. A file is linked into place complete and synced, and only the first link succeeds.
 */
export class SharedSink {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  /** Applies an order unless it was applied before, and gives the effect that stands. */
  apply(effect: Effect): Effect {
    const file = join(this.#dir, sha256(effect.order.id));
    const draft = `${file}.${process.pid}.draft`;
    const fd = openSync(draft, "w", 0o600);
    try {
      writeSync(fd, JSON.stringify(effect));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    try {
      linkSync(draft, file);
      return effect;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
      return JSON.parse(readFileSync(file, "utf8")) as Effect;
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /** Makes what was applied last until power fails and longer. */
  sync(): void {
    const fd = openSync(this.#dir, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** What one journal's process applied; a process that was killed may not have written it down. */
  *by(epoch: string): Generator<Effect> {
    for (const name of readdirSync(this.#dir)) {
      if (name.endsWith(".draft")) continue;
      const effect = JSON.parse(readFileSync(join(this.#dir, name), "utf8")) as Effect;
      if (effect.by === epoch) yield effect;
    }
  }
}
