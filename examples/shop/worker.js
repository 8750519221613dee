import { work } from "./orders.js";
import { countStock } from "./stock.js";

const orders = work();
const stock = await countStock();
process.once("SIGTERM", async () => {
  await Promise.all([orders.close(), stock.close()]);
  process.exit(0);
});
