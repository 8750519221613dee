// The server side of the pushed transport: flagd.sync.v1 over gRPC, and the definition over HTTP.
import { once } from "node:events";
import { createServer } from "node:http";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";

/** A flag set as flags.RoutingFlags and flags.Revise of Switchyard write it. */
export function definition(queue, { stage = "off", ramp = 0, source = "standalone", revision = 1, set = "main" } = {}) {
  const flag = (values, value, more) => ({
    state: "ENABLED",
    variants: Object.fromEntries(values.map((v) => [String(v), v])),
    defaultVariant: String(value),
    metadata: { managedBy: "cutover", revision },
    ...more,
  });
  const bucketing = { cat: [`${queue}-stage`, { var: "targetingKey" }] };
  const targeting = stage === "live" && { targeting: { fractional: [bucketing, ["target", ramp], ["source", 100 - ramp]] } };
  return {
    flags: {
      [`${queue}-stage`]: flag(["off", "dualwrite", "shadow", "live", "rampdown", "complete"], stage),
      [`${queue}-ramp`]: flag([ramp], ramp),
      [`${queue}-authority`]: flag(["source", "target"], ["rampdown", "complete"].includes(stage) ? "target" : "source", { ...targeting }),
      "source-endpoint": flag(["standalone", "sentinel", "none"], source),
    },
    metadata: { flagSetId: set, flagSetRevision: revision, fractional: "v2" },
  };
}

// SyncFlagsResponse has one field of interest: string flag_configuration = 1.
function response(text) {
  const bytes = Buffer.from(text, "utf8");
  const head = [0x0a];
  let rest = bytes.length;
  for (; rest > 127; rest >>>= 7) head.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...head, rest]), bytes]);
}

const service = {
  syncFlags: {
    path: "/flagd.sync.v1.FlagSyncService/SyncFlags",
    requestStream: false,
    responseStream: true,
    requestSerialize: (b) => b,
    requestDeserialize: (b) => b,
    responseSerialize: response,
    responseDeserialize: (b) => b,
  },
};

/** A Switchyard on loopback that pushes `document`; `push` changes it. */
export async function syncServer(t, document, { token = "worker-token" } = {}) {
  let grpc, http;
  let port = 0;
  let httpPort = 0;
  const sockets = new Set();
  const self = {
    token,
    document,
    /** When set, streams open but nothing is sent. */
    mute: false,
    streams: new Set(),
    opened: 0,
    notModified: 0,
    get url() {
      return `http://127.0.0.1:${httpPort}`;
    },
    get sync() {
      return { host: "127.0.0.1", port };
    },
    push(next) {
      self.document = next;
      for (const stream of self.streams) stream.write(JSON.stringify(next));
    },
    /** Ends every stream as a server that shuts down does. */
    interrupt() {
      for (const stream of self.streams) stream.emit("error", { code: status.UNAVAILABLE, details: "reconnect" });
      self.streams.clear();
    },
    async start() {
      grpc = new Server();
      grpc.addService(service, { syncFlags: open });
      port = await new Promise((resolve, reject) =>
        grpc.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (err, bound) => (err ? reject(err) : resolve(bound))),
      );
      http = createServer(define).listen(httpPort, "127.0.0.1");
      http.on("connection", (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      });
      await once(http, "listening");
      httpPort = http.address().port;
    },
    async stop() {
      grpc.forceShutdown();
      self.streams.clear();
      if (!http.listening) return;
      http.close();
      for (const socket of sockets) socket.destroy();
      await once(http, "close");
    },
  };

  function open(stream) {
    self.opened++;
    if (stream.metadata.get("flagd-selector")[0] !== `apiKey=${token}`) return void stream.emit("error", { code: status.UNAUTHENTICATED });
    self.streams.add(stream);
    stream.on("cancelled", () => self.streams.delete(stream));
    if (!self.mute) stream.write(JSON.stringify(self.document));
  }

  function define(req, res) {
    if (req.url !== "/api/v1/flags/definition" || req.headers.authorization !== `Bearer ${token}`) return void res.writeHead(401).end();
    self.headers = req.headers;
    const etag = `"${self.document.metadata.flagSetRevision}-x"`;
    if (req.headers["if-none-match"] === etag) {
      self.notModified++;
      return void res.writeHead(304, { ETag: etag }).end();
    }
    res.writeHead(200, { "Content-Type": "application/json", ETag: etag }).end(JSON.stringify(self.document));
  }

  await self.start();
  t.after(() => self.stop());
  return self;
}
