/** Writes one JSON line to stdout. */
export function log(event: string, detail: Record<string, unknown> = {}): void {
  process.stdout.write(JSON.stringify({ event, at: new Date().toISOString(), ...detail }) + "\n");
}
