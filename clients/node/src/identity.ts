import type { Redis } from "ioredis";

/** How a server knows a connection: the id it gave it, and the run of the server that gave it. */
export interface Identity {
  clientId: number;
  runId: string;
}

const known = new WeakMap<Redis, Identity>();

/**
 * Asks the server for the connection's id each time it is opened, so that the server's own list of clients shows whose it is. A server that
 * does not tell leaves the connection without one.
 */
export function identify(client: Redis): void {
  let closed = 0;
  const ask = () => {
    const before = closed;
    Promise.all([client.client("ID"), client.info("server")])
      .then(([id, info]) => {
        const runId = /^run_id:(\S+)/m.exec(info)?.[1];
        if (runId && closed === before) known.set(client, { clientId: Number(id), runId });
      })
      .catch(() => undefined);
  };
  client.on("close", () => {
    closed++;
    known.delete(client);
  });
  // Before it is ready: then ioredis first sends again what was cut off, and behind a blocking read the answer would take as long as that. Older
  // versions of ioredis 5 send nothing earlier.
  client.on("connect", ask);
  client.on("ready", () => known.has(client) || ask());
}

/**
 * What a server knows these connections by, as attestations tell it: of those that it has now. One that is between two attempts, as a worker's is
 * for as long as its server refuses writes, takes nothing from the others.
 */
export function identities(clients: Redis[]): { clientIds?: number[]; runId?: string } {
  const found = clients.flatMap((client) => known.get(client) ?? []);
  const runId = found[0]?.runId;
  if (!runId) return {};
  return { clientIds: found.filter((one) => one.runId === runId).map((one) => one.clientId), runId };
}
