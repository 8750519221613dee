import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * A small JSON file that survives the process: replaced whole (write, sync, rename), so a crash leaves either the old
 * values or the new ones.
 */
export class LastKnownGood<T> {
  constructor(
    readonly path: string,
    readonly valid: (value: unknown) => value is T,
  ) {}

  /** The stored value; undefined when there is none or it is not usable. */
  load(): T | undefined {
    try {
      const value: unknown = JSON.parse(readFileSync(this.path, "utf8"));
      return this.valid(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  /** Durable on return. @throws the file system's error. */
  save(value: T): void {
    mkdirSync(dirname(this.path), { recursive: true });
    const next = `${this.path}.next`;
    const fd = openSync(next, "w", 0o600);
    try {
      writeFileSync(fd, JSON.stringify(value));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(next, this.path);
  }
}
