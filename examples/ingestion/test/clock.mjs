// The app with a clock of a test's: the file CLOCK holds the Unix milliseconds that times in signatures are held against.
import { readFileSync } from "node:fs";
import { start } from "../dist/app.js";

await start(process.env, { now: () => Number(readFileSync(process.env.CLOCK, "utf8")) });
