export function tune(o: Record<string, unknown>) { o.commandTimeout = 30_000; }
