// What Lighthouse measured, in words: a row for each page, and why one is below a limit.

/** median gives the middle one of what was measured, by a number. */
export function median(list, by = (n) => n) {
  return [...list].sort((a, b) => by(a) - by(b))[Math.floor((list.length - 1) / 2)];
}

const itemsOf = (lhr, audit) => lhr.audits[audit]?.details?.items ?? [];
const valueOf = (lhr, audit) => lhr.audits[audit]?.numericValue ?? NaN;

/** traffic sorts what came over the wire: the page at an empty cache, and the updates that it fetched while it was looked at. */
function traffic(lhr) {
  const requests = itemsOf(lhr, "network-requests");
  const again = requests.filter((r) => r.url === lhr.finalDisplayedUrl && r.resourceType !== "Document");
  const cold = requests.filter((r) => !again.includes(r)).reduce((sum, r) => sum + r.transferSize, 0);
  return { cold, updates: again.filter((r) => r.statusCode === 200).length, checks: again.length };
}

/** row is what is told of a page on one kind of machine: medians of its runs. */
export function row(page, form, runs, typical) {
  const of = (get) => median(runs.map(get));
  const score = (id) => of((lhr) => Math.round(lhr.categories[id].score * 100));
  const metric = (id) => of((lhr) => valueOf(lhr, id));
  return {
    page, form,
    performance: score("performance"), accessibility: score("accessibility"), "best-practices": score("best-practices"),
    each: runs.map((lhr) => Math.round(lhr.categories.performance.score * 100)).join("/"),
    fcp: metric("first-contentful-paint"), lcp: metric("largest-contentful-paint"), tbt: metric("total-blocking-time"),
    cls: metric("cumulative-layout-shift"), speed: metric("speed-index"),
    ...traffic(typical),
    index: of((lhr) => lhr.environment.benchmarkIndex), lighthouseVersion: typical.lighthouseVersion,
  };
}

const columns = [
  ["page", 9, (r) => r.page], ["machine", 8, (r) => r.form],
  ["perf", 5, (r) => r.performance], ["each", 12, (r) => r.each], ["a11y", 5, (r) => r.accessibility], ["best", 5, (r) => r["best-practices"]],
  ["FCP ms", 7, (r) => r.fcp.toFixed(0)], ["LCP ms", 7, (r) => r.lcp.toFixed(0)], ["TBT ms", 7, (r) => r.tbt.toFixed(0)],
  ["CLS", 6, (r) => r.cls.toFixed(3)], ["SI ms", 6, (r) => r.speed.toFixed(0)],
  ["cold kB", 8, (r) => (r.cold / 1000).toFixed(1)], ["updates", 8, (r) => `${r.updates}/${r.checks}`], ["CPU index", 10, (r) => r.index.toFixed(0)],
];

/** table writes rows below each other; an update counts when it changed the page, of so many that were asked for. */
export function table(rows, withHead) {
  const line = (cells) => cells.map((cell, i) => (i < 2 ? String(cell).padEnd(columns[i][1]) : String(cell).padStart(columns[i][1]))).join(" ");
  const lines = rows.map((r) => line(columns.map(([, , get]) => get(r))));
  return (withHead ? [line(columns.map(([name]) => name)), ...lines] : lines).join("\n");
}

const calm = 1500; // Lighthouse's index of a processor that its slowing down to a phone's is meant for
const worst = 6; // audits that are named for a category

/** what says where an audit found something, as far as its details name it. */
function what(audit) {
  const items = audit.details?.items?.flatMap((i) => i.items ?? [i]) ?? [];
  const named = items.map((i) => i.node?.snippet ?? i.url ?? i.description ?? i.sourceLocation?.url).filter((text) => typeof text === "string");
  return [...new Set(named)].slice(0, 3).map((text) => `\n      ${text.slice(0, 200)}`).join("");
}

/** audits names the worst of a category: by what they cost it, then those that only advise. */
function audits(lhr, category) {
  return lhr.categories[category].auditRefs
    .map((ref) => ({ audit: lhr.audits[ref.id], cost: ref.weight * (1 - (lhr.audits[ref.id].score ?? 1)) }))
    .filter(({ audit }) => audit.score !== null && audit.score < 1)
    .sort((a, b) => b.cost - a.cost || a.audit.score - b.audit.score)
    .slice(0, worst)
    .map(({ audit }) => `    ${audit.id}: ${audit.displayValue ?? audit.title} (score ${audit.score})${what(audit)}`);
}

/** tasks names what held the page up: long tasks by script, and what moved. */
function tasks(lhr) {
  return [
    ...itemsOf(lhr, "long-tasks").slice(0, 4).map((t) => `    long task: ${t.duration.toFixed(0)} ms at ${t.startTime.toFixed(0)} ms by ${t.url}`),
    ...itemsOf(lhr, "layout-shifts").slice(0, 4).map((s) => `    moved by ${s.score.toFixed(3)}: ${s.node?.snippet ?? "nothing that is still there"}`),
  ];
}

/** below says for each limit that a page misses: the value, the limit, and the worst audits. */
export function below(measured, limits, typical) {
  return Object.entries(limits).filter(([category, least]) => measured[category] < least).map(([category, least]) => [
    `${measured.page}, ${measured.form}: ${category} is ${measured[category]}, ${least} at least`,
    ...audits(typical, category),
    ...(category === "performance" ? tasks(typical) : []),
    ...(category === "performance" && measured.index < calm
      ? [`    CPU index ${measured.index.toFixed(0)}, ${calm} at least for a true score: the machine was busy or is slow. Measure again when nothing else runs.`] : []),
  ].join("\n"));
}
