// An ingestion process for the tests: keeps events and cannot deliver them. Says on standard output which were acknowledged, and is killed.
import { DurableIntake, UnavailableError } from "@switchyard/bullmq";

const intake = new DurableIntake({
  dir: process.argv[2],
  deliver: async () => {
    throw new UnavailableError("redis is down");
  },
});
await intake.start();
for (let i = 0; ; i++) {
  await Promise.all([0, 1, 2, 3].map(async (k) => {
    const id = `evt_${i}_${k}`;
    await intake.accept({ id, body: JSON.stringify({ id }), meta: { provider: "stripe" } });
    process.stdout.write(`${id}\n`);
  }));
}
