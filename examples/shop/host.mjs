// What a hosting service does for an app, on one machine: it starts each process of the Procfile
// as often as it is told, passes requests at PORT to the web processes in turn, starts again what
// ends, and on SIGHUP deploys: it reads .env anew and replaces one process after the other.
//
//   PORT=3000 node host.mjs worker=3 web=3
//   kill -HUP $(cat host.pid)
//
// Each process gets its name, such as web.1, in DYNO, and web processes a PORT of their own.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { parseEnv } from "node:util";

const lines = readFileSync("Procfile", "utf8").trim().split("\n");
const commands = Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2)));
const wanted = process.argv.slice(2).flatMap((argument) => {
  const [kind, n] = argument.split("=");
  if (!commands[kind]) throw new Error(`the Procfile has no ${kind}`);
  return Array.from({ length: Number(n) }, (_, i) => ({ kind, name: `${kind}.${i + 1}` }));
});
const running = new Map(); // by name: the process, and the port it serves
let ending = false;

async function start({ kind, name }) {
  const port = kind === "web" ? await freePort() : undefined;
  const env = { ...process.env, ...parseEnv(readFileSync(".env", "utf8")), DYNO: name };
  const child = spawn("sh", ["-c", `exec ${commands[kind]}`], {
    env: { ...env, ...(port && { PORT: port }) },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const dyno = { child, port, ended, ready: !port, leaving: false };
  running.set(name, dyno);
  ended.then(() => {
    dyno.ready = false;
    if (ending || dyno.leaving) return;
    console.error(`${name} ended, and is started again`);
    setTimeout(start, 1000, { kind, name });
  });
  while (port && !dyno.ready && child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    dyno.ready = await answers(port);
  }
}

// Requests in progress are answered before a process ends: it gets a SIGTERM, and 30 s.
async function stop({ child, ended }) {
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await ended;
  clearTimeout(late);
}

async function deploy() {
  for (const one of wanted) {
    const old = running.get(one.name);
    old.ready = false; // no new requests
    old.leaving = true;
    await stop(old);
    await start(one);
    console.error(`${one.name} is deployed`);
  }
}

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => (socket.end(), resolve(true)));
    socket.once("error", () => resolve(false));
  });

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

let turn = 0;
const router = createServer((client) => {
  const webs = [...running.values()].filter((dyno) => dyno.port && dyno.ready);
  if (webs.length === 0) return client.destroy();
  const web = connect(webs[turn++ % webs.length].port, "127.0.0.1");
  client.on("error", () => web.destroy()).pipe(web);
  web.on("error", () => client.destroy()).pipe(client);
});
router.listen(Number(process.env.PORT), "127.0.0.1");
await Promise.all(wanted.map(start));
writeFileSync("host.pid", String(process.pid));
console.error(`${wanted.length} processes run`);

let deploying = Promise.resolve();
process.on("SIGHUP", () => (deploying = deploying.then(deploy)));
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, async () => {
    ending = true;
    router.close();
    await Promise.all([...running.values()].map(stop));
    process.exit(0);
  });
}
