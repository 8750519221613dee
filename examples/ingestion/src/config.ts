import { PostgresJournal, RedisJournal, SqliteJournal, type Journal } from "@switchyard/bullmq";
import pg from "pg";
import { providerIds, type ProviderId } from "./providers.js";

/** By provider; of one without a secret no webhooks are taken. Two are valid while one is being replaced. */
export type WebhookSecrets = Partial<Record<ProviderId, string[]>>;

/** @throws Error naming the variable that is missing or malformed, never its value. */
export function webhookSecrets(env: NodeJS.ProcessEnv): WebhookSecrets {
  const secrets: WebhookSecrets = {};
  for (const id of providerIds) {
    const list = (env[secretName(id)] ?? "").split(",").map((secret) => secret.trim()).filter(Boolean);
    if (list.length > 2) throw new Error(`${secretName(id)} holds ${list.length} secrets, at most 2 are valid at a time`);
    if (list.length > 0) secrets[id] = list;
  }
  if (Object.keys(secrets).length === 0) throw new Error(`none of ${providerIds.map(secretName).join(", ")} is set`);
  return secrets;
}

// The first one has no prefix: it is older than the others.
const secretName = (id: ProviderId): string => (id === "stripe" ? "WEBHOOK_SECRET" : `${id.toUpperCase()}_WEBHOOK_SECRET`);

/** Where the journal is: what JOURNAL_URL names, which instances can share, else a file of this process alone. */
export function journal(env: NodeJS.ProcessEnv, dir: string, log: (event: string, detail: Record<string, unknown>) => void): Journal {
  const url = env["JOURNAL_URL"];
  if (!url) return new SqliteJournal(dir);
  if (/^postgres(ql)?:/.test(url)) return new PostgresJournal(new pg.Pool({ connectionString: url, max: 5 }).on("error", (err) => log("postgres-error", { error: err.message })));
  if (/^rediss?:/.test(url)) return new RedisJournal({ redis: { url }, log });
  throw new Error("JOURNAL_URL is neither redis:// nor postgres://");
}
