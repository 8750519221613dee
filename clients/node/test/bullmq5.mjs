// Runs the tests on the last BullMQ 5 instead of 6: `node --import ./test/bullmq5.mjs --test ...`. The package has it for its fixtures.
import { registerHooks, register } from "node:module";

process.env.BULLMQ_UNDER_TEST = "bullmq5";
const source = `export const resolve = (name, context, next) => next(name === "bullmq" ? "bullmq5" : name, context);`;
if (registerHooks) registerHooks({ resolve: (name, context, next) => next(name === "bullmq" ? "bullmq5" : name, context) });
else register(`data:text/javascript,${encodeURIComponent(source)}`);
