import { existsSync, fsyncSync, linkSync, mkdirSync, openSync, closeSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { sha256, type Order } from "./order.js";

/**
 * Where orders take effect, once each, whichever of several instances runs them: a folder that all of them share, with a
 * file for each order. A file is linked into place complete and synced, and only the first link succeeds.
 */
export class Sink {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  /** Applies an order unless it was applied before, and gives whether it was not. */
  apply(order: Order): boolean {
    const draft = `${this.#file(order)}.${process.pid}.draft`;
    write(draft, (fd) => writeSync(fd, JSON.stringify(order)));
    try {
      linkSync(draft, this.#file(order));
      write(this.#dir, () => undefined, "r"); // the folder's entry lasts until power fails and longer
      return true;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
      return false;
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /** How often an order was applied. */
  times(order: Order): number {
    return existsSync(this.#file(order)) ? 1 : 0;
  }

  #file(order: Order): string {
    return join(this.#dir, sha256(order.id));
  }
}

function write(path: string, fill: (fd: number) => void, flags = "w"): void {
  const fd = openSync(path, flags, 0o600);
  try {
    fill(fd);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
