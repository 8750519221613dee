// Runs the tests on the last BullMQ 5 instead of 6: `node --import ./test/bullmq5.mjs --test ...`. The repository has it for its fixtures.
import { register } from "node:module";

process.env.BULLMQ_UNDER_TEST = "bullmq5";
const hook = `export const resolve = (name, context, next) => next(name === "bullmq" ? "bullmq5" : name, context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
