import { start } from "./app.js";
import { configFrom } from "./config.js";

await start(() => configFrom(process.env));
