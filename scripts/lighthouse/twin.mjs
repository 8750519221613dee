// A twin of our own to look at: the product as `make run` starts it, on loopback, with orders that arrive and runs that were done.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const patience = 120_000; // ms, for each thing that is waited for
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** until asks again until there is an answer. */
async function until(what, ask) {
  for (const deadline = Date.now() + patience; Date.now() < deadline; await pause(200)) {
    const answer = await ask();
    if (answer) return answer;
  }
  throw new Error(`${what}: not seen within ${patience / 1000} s`);
}

/** Twin is a twin and who is signed in at it. Whatever happens, close leaves nothing of it. */
export class Twin {
  #dir = mkdtempSync(join(tmpdir(), "switchyard-lighthouse-"));
  #process;
  #said = "";
  #complaints = "";
  #ended;
  #token;

  /** start gives a twin with so many orders a second, at which ada is signed in. */
  static async start(program, rate) {
    const twin = new Twin();
    try {
      await twin.#start(program, rate);
    } catch (e) {
      await twin.close();
      throw e;
    }
    return twin;
  }

  async #start(program, rate) {
    // Detached: Ctrl-C reaches us alone, and we end the twin in order.
    this.#process = spawn(program, ["twin", "--dir", this.#dir, "--rate", String(rate)], { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#process.stdout.on("data", (text) => { this.#said += text; });
    this.#process.stderr.on("data", (text) => { this.#complaints = (this.#complaints + text).slice(-4000); });
    this.#ended = new Promise((resolve) => { this.#process.on("exit", resolve).on("error", resolve); });
    let gone = false;
    this.#ended.then(() => { gone = true; });
    await until("the twin's address", () => {
      if (gone) throw new Error(`the twin ended:\n${this.#complaints}`);
      return this.#said.includes("Ctrl-C");
    });
    this.url = /^Switchyard is at (\S+)$/m.exec(this.#said)[1];
    const password = /^ {2}ada +(\S+)/m.exec(this.#said)[1];
    const body = new URLSearchParams({ name: "ada", password });
    const answer = await fetch(this.url + "/sign-in", { method: "POST", body, redirect: "manual" });
    this.cookie = answer.headers.getSetCookie()[0]?.split(";")[0];
    if (!this.cookie) throw new Error(`ada cannot sign in: status ${answer.status}`);
    this.#token = (await this.#api("POST", "/sessions", { name: "ada", password })).token;
    this.mid = (await this.#api("GET", "/migrations")).migrations[0].id;
  }

  async #api(method, path, body) {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const answer = await fetch(this.url + "/api/v1" + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** run carries a step out that needs no approval, and gives the run's id. */
  async run(step) {
    const path = `/migrations/${this.mid}/steps/${step}`;
    const plan = await this.#api("GET", `${path}/plan`);
    const { id } = await this.#api("POST", `${path}/runs`, { plan_hash: plan.hash });
    await until(`the end of ${step}`, async () => {
      const { state } = await this.#api("GET", `/runs/${id}`);
      if (/failed|cancelled|rejected/.test(state)) throw new Error(`${step} is ${state}`);
      return state === "succeeded";
    });
    return id;
  }

  /** measured waits until the pages' charts have so many points. */
  async measured(points) {
    await until("charts with something in them", async () => {
      const view = await this.#api("GET", `/migrations/${this.mid}/series?name=depth_source`);
      return view.series?.[0]?.steps?.length >= points;
    });
  }

  /** close ends the twin as Ctrl-C does, by force when that is not enough, and removes its data. */
  async close() {
    if (this.#process?.pid) {
      const kill = (pid, signal) => { try { process.kill(pid, signal); } catch { /* it is gone */ } };
      kill(this.#process.pid, "SIGINT");
      const forced = setTimeout(() => {
        const file = join(this.#dir, "pids.json");
        const children = existsSync(file) ? Object.values(JSON.parse(readFileSync(file, "utf8"))) : [];
        kill(-this.#process.pid, "SIGKILL");
        for (const { pid } of children) kill(-pid, "SIGKILL"); // each has a group of its own
      }, 30_000);
      await this.#ended;
      clearTimeout(forced);
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
