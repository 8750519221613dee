import type { PgPool } from "./postgresjournal.js";

/**
 * For `effects`: an order took effect as often as a query finds rows, which it asks in a read-only
 * transaction. `values` are the query's parameters (default: the order's `id`).
 *
 *     effects: sqlEffects(pool, "SELECT 1 FROM orders WHERE webhook_id = $1")
 */
export function sqlEffects<T extends object>(
  pool: PgPool,
  query: string,
  values: (order: T) => unknown[] = (order) => [(order as { id?: unknown }).id],
): (order: T) => Promise<number> {
  return async (order) => {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      await client.query("BEGIN READ ONLY");
      const { rows } = await client.query(query, values(order));
      await client.query("COMMIT");
      return rows.length;
    } catch (err) {
      await client.query("ROLLBACK").catch((cause: Error) => (broken = cause));
      throw err;
    } finally {
      client.release(broken);
    }
  };
}
