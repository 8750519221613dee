import { linkSync, readFileSync, renameSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Makes this process the only owner of the data directory, and clears what a killed owner left behind.
 *
 * SQLite's file locks here are directories (`<database>.lock`), which survive a kill -9. They may be removed only when
 * it is certain that their owner is gone, hence the owner's record: pid, the start time of that pid and the boot, so
 * that a pid used again by another process is not mistaken for the owner.
 *
 * @param waitMs how long to wait for an owner that is still alive (a predecessor that is shutting down)
 * @returns release, to be called when the database is closed
 * @throws Error when the owner stays alive
 */
export async function own(dir: string, database: string, waitMs: number): Promise<() => void> {
  const record = join(dir, "owner");
  const me = identity(process.pid);
  const end = Date.now() + waitMs;
  while (!claim(record, me)) {
    const owner = read(record);
    if (owner === undefined) continue;
    if (!alive(owner)) {
      discard(record, owner);
      continue;
    }
    if (Date.now() > end) throw new Error(`the data directory belongs to a running process: ${owner.split(" ")[0]}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    rmdirSync(`${database}.lock`);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
  }
  return () => rmSync(record, { force: true });
}

// Linked into place complete, so that no other process ever reads half a record.
function claim(record: string, me: string): boolean {
  const draft = `${record}.${process.pid}`;
  writeFileSync(draft, me, { mode: 0o600 });
  try {
    linkSync(draft, record);
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw err;
  } finally {
    rmSync(draft);
  }
}

function read(record: string): string | undefined {
  try {
    return readFileSync(record, "utf8");
  } catch {
    return undefined;
  }
}

// Moved aside before it is removed: should another process have claimed the directory in between, its record is put back.
function discard(record: string, owner: string): void {
  const aside = `${record}.${process.pid}.stale`;
  try {
    renameSync(record, aside);
  } catch {
    return;
  }
  if (read(aside) === owner) rmSync(aside);
  else renameSync(aside, record);
}

function alive(owner: string): boolean {
  const pid = Number(owner.split(" ")[0]);
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return identity(pid) === owner;
}

function identity(pid: number): string {
  return [pid, startTime(pid), read("/proc/sys/kernel/random/boot_id")?.trim() ?? "-"].join(" ");
}

// Field 22 of /proc/<pid>/stat; the second field may hold spaces, but ends at the last parenthesis (proc(5)).
function startTime(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "-";
}
