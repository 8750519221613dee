import type { Redis } from "ioredis";

/** How a server knows a connection: the id it gave it, and the run of the server that gave it. */
export interface Identity {
  clientId: number;
  runId: string;
}

const known = new WeakMap<Redis, Identity>();

/**
 * Asks the server for the connection's id each time it is ready, so that the server's own list of clients shows whose it is. A server that
 * does not tell leaves the connection without one.
 */
export function identify(client: Redis): void {
  client.on("close", () => known.delete(client));
  client.on("ready", () => {
    Promise.all([client.client("ID"), client.info("server")])
      .then(([id, info]) => {
        const runId = /^run_id:(\S+)/m.exec(info)?.[1];
        if (runId && client.status === "ready") known.set(client, { clientId: Number(id), runId });
      })
      .catch(() => undefined);
  });
}

/** What servers know these connections by, as attestations tell it: only when all of them are known, and to one server. */
export function identities(clients: Redis[]): { clientIds?: number[]; runId?: string } {
  const found = clients.map((client) => known.get(client));
  const runId = found[0]?.runId;
  if (!runId || found.some((one) => one?.runId !== runId)) return {};
  return { clientIds: found.map((one) => one!.clientId), runId };
}
