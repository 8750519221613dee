// Evaluates what each line of standard input asks for, and answers with a line each. Ends with standard input.
import { createInterface } from 'node:readline';

const methods = { boolean: 'getBooleanDetails', string: 'getStringDetails', number: 'getNumberDetails', object: 'getObjectDetails' };

/** serve answers with evaluate(method, flag, default, context), which gives OpenFeature's evaluation details. */
export async function serve(evaluate) {
  for await (const line of createInterface({ input: process.stdin })) {
    const ask = JSON.parse(line);
    const { value, reason, variant, errorCode, errorMessage } = await evaluate(methods[ask.type], ask.flag, ask.default, ask.context ?? {});
    process.stdout.write(JSON.stringify({ value, reason, variant, errorCode, errorMessage }) + '\n');
  }
  process.exit(0);
}
