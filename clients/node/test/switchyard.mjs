// The server side of the two protocols a worker speaks with Switchyard: OFREP bulk evaluation and attestation.
import { once } from "node:events";
import { createServer } from "node:http";

/** A Switchyard on loopback; `set` changes flags, `attestations` collects what workers report. */
export async function switchyard(t, { token = "worker-token", flags = {}, set = undefined } = {}) {
  const values = { "order-ingestion-stage": "off", "order-ingestion-ramp": 0, "source-endpoint": "standalone", ...flags };
  const changed = {};
  const sockets = new Set();
  let revision = 1;
  let port = 0;
  let server;
  const self = {
    token,
    requests: 0,
    notModified: 0,
    attestations: [],
    /** When set, answers OFREP requests in place of the flags. */
    answer: undefined,
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    get revision() {
      return revision;
    },
    /** Restores an older (or any) revision, as a server that lost its last change would. */
    set revision(next) {
      revision = next;
    },
    set flagSet(next) {
      set = next;
    },
    get latest() {
      return self.attestations.at(-1);
    },
    set(next) {
      revision++;
      for (const [key, value] of Object.entries(next)) {
        if (values[key] !== value) changed[key] = revision;
        values[key] = value;
      }
      return revision;
    },
    async start() {
      server = createServer((req, res) => void handle(req, res)).listen(port, "127.0.0.1");
      server.on("connection", (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      });
      await once(server, "listening");
      port = server.address().port;
    },
    async stop() {
      if (!server.listening) return;
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };

  async function handle(req, res) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    if (req.headers.authorization !== `Bearer ${token}`) return void res.writeHead(401).end();
    if (req.url === "/api/v1/workers/attest") {
      self.attestations.push(body);
      return void res.writeHead(204).end();
    }
    self.requests++;
    self.headers = req.headers;
    if (self.answer) return void self.answer(req, res);
    const etag = `"${revision}"`;
    if (req.headers["if-none-match"] === etag) {
      self.notModified++;
      return void res.writeHead(304, { ETag: etag }).end();
    }
    const list = Object.entries(values).map(([key, value]) => ({
      key,
      value,
      reason: "STATIC",
      variant: String(value),
      metadata: { revision: changed[key] ?? 1, flagSetRevision: revision, ...(set && { flagSetId: set }) },
    }));
    res.writeHead(200, { "Content-Type": "application/json", ETag: etag }).end(JSON.stringify({ flags: list }));
  }

  await self.start();
  t.after(() => self.stop());
  return self;
}
