// Runs the tests on the last BullMQ 5 instead of 6: `node --import ./test/bullmq5.mjs --test ...`. The repository has it for its fixtures.
import Module, { register } from "node:module";

process.env.BULLMQ_UNDER_TEST = "bullmq5";
const of = (name) => (name === "bullmq" ? "bullmq5" : name);
const hook = `export const resolve = (name, context, next) => next(name === "bullmq" ? "bullmq5" : name, context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
// The package itself asks as CommonJS does.
const resolve = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => resolve(of(name), ...rest);
