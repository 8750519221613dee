package workflows

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Severity is what a line of the cutover report amounts to. What could not be read blocks: a wrong
// green is worse than a red.
type Severity string

const (
	SeverityUnknown Severity = ""        // could not be read
	SeverityBlocks  Severity = "blocks"  // jobs would be lost, run wrongly or not at all
	SeverityCareful Severity = "careful" // works, with an effect that people should know beforehand
	SeverityClear   Severity = "clear"
)

// CutoverReport is what would happen if the source were left at this moment.
type CutoverReport struct {
	At    time.Time    `json:"at"`
	Ready bool         `json:"ready"` // no line blocks and none is unknown
	Lines []ReportLine `json:"lines"` // the worst first
}

// ReportLine is one thing that was looked at.
type ReportLine struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Queue    string   `json:"queue,omitempty"`
	Severity Severity `json:"severity"`
	Measured string   `json:"measured"`
	Clear    string   `json:"clear,omitempty"` // how to clear it
	Examples []string `json:"examples,omitempty"`
}

// CutoverReport tells what would break if the source were left now, line by line, and how to clear it. It reads only.
func (c *Control) CutoverReport(ctx context.Context, mid string) (CutoverReport, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return CutoverReport{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return c.estate.cutoverReport(ctx, v), nil
}

func (e *Estate) cutoverReport(ctx context.Context, v view) CutoverReport {
	r := &reporter{e: e, v: v}
	both := e.surveyBoth(ctx, v.migration.ID)
	r.side(both[0])
	r.side(both[1])
	r.fleet()
	r.ledger()
	r.streams(ctx)
	if both[0].Usable() {
		for _, q := range both[0].Survey.Queues {
			if q.MovedBy == "" {
				r.queue(q, both[1])
			}
		}
		r.flows(both[0].Survey)
		r.room(ctx, both[0].Survey)
		r.twice(ctx, both[0].Survey)
	}
	out := CutoverReport{At: e.now(), Ready: true, Lines: r.lines}
	rank := map[Severity]int{SeverityBlocks: 0, SeverityUnknown: 1, SeverityCareful: 2, SeverityClear: 3}
	slices.SortStableFunc(out.Lines, func(a, b ReportLine) int { return rank[a.Severity] - rank[b.Severity] })
	for _, l := range out.Lines {
		out.Ready = out.Ready && (l.Severity == SeverityClear || l.Severity == SeverityCareful)
	}
	return out
}

type reporter struct {
	e     *Estate
	v     view
	lines []ReportLine
}

func (r *reporter) add(l ReportLine) { r.lines = append(r.lines, l) }

// found adds a line that blocks or warns when there is something, and a clear one else.
func (r *reporter) found(l ReportLine, is bool, otherwise string) {
	if !is {
		l.Severity, l.Measured, l.Clear, l.Examples = SeverityClear, otherwise, "", nil
	}
	r.add(l)
}

// side says whether the side could be read at all.
func (r *reporter) side(s SideSurvey) {
	l := ReportLine{ID: s.Side, Title: title(s.Side) + " can be read", Severity: SeverityUnknown, Measured: s.Error, Clear: "make the server reachable, or wait until it was read"}
	if s.Reading != "" {
		l.Measured += "; " + s.Reading
	}
	if s.Usable() {
		l.Severity, l.Clear = SeverityClear, ""
		l.Measured = fmt.Sprintf("%d keys, %d queues, counted %s ago; every key looked at %s ago, which took %s", s.Survey.Keys, len(s.Survey.Queues), r.e.now().Sub(s.Survey.ReadAt).Round(time.Second),
			r.e.now().Sub(s.Survey.At).Round(time.Second), s.Survey.Took.Round(time.Millisecond))
	}
	r.add(l)
}

func title(side string) string { return strings.ToUpper(side[:1]) + side[1:] }

// fleet says whether the workers would hear of it.
func (r *reporter) fleet() {
	g := fleetGate(r.e, r.v)
	l := ReportLine{ID: "workers", Title: g.Title, Severity: SeverityBlocks, Measured: g.Measured, Clear: g.Next}
	r.found(l, !g.OK, g.Measured)
}

// ledger says what the providers still owe the source, or it them.
func (r *reporter) ledger() {
	ledger, err := r.e.ledger.read()
	if err != nil {
		r.add(ReportLine{ID: "ledger", Title: "Order ledger", Severity: SeverityUnknown, Measured: inWords(err), Clear: "make sure the ingestion app is up"})
		return
	}
	s := ledger.Summary(r.e.now(), r.e.cfg.Migration.OrderDeadline)
	r.found(ReportLine{ID: "ledger", Title: "Order ledger", Severity: SeverityBlocks, Measured: fmt.Sprintf("%d orders lost, %d applied twice", s.Lost, s.Duplicated),
		Clear: "find out why before anything is switched", Examples: slices.Concat(s.LostIDs, s.DuplicatedIDs)}, s.Lost+s.Duplicated > 0, fmt.Sprintf("%d acknowledged, none lost, none twice", s.Acknowledged))
	var waiting []string
	for _, story := range ledger.Retries(0) {
		if !story.Acknowledged {
			waiting = append(waiting, story.Order)
		}
	}
	r.found(ReportLine{ID: "provider-retries", Title: "Deliveries the providers will repeat", Severity: SeverityCareful, Measured: fmt.Sprintf("%d orders were answered 503 and not delivered again yet", len(waiting)),
		Clear: "they come to whichever side takes orders by then; keep the app's address the same until they have", Examples: some(waiting)}, len(waiting) > 0, "none is due")
}

// streams says what both servers' events tell.
func (r *reporter) streams(ctx context.Context) {
	g := streamsGate(ctx, r.e, r.v.migration.ID)
	r.found(ReportLine{ID: g.ID, Title: g.Title, Severity: SeverityBlocks, Measured: g.Measured, Clear: g.Next}, !g.OK, g.Measured)
}

// queue looks at one queue of the source.
func (r *reporter) queue(q bullmq.QueueSurvey, target SideSurvey) {
	n, name := q.Counts, q.Queue.String()
	routed := slices.ContainsFunc(r.e.queues, func(own bullmq.Queue) bool { return own.Key("") == q.Queue.Key("") })
	leave := "run the step Move the other queues"
	if routed {
		leave = "they move with the step Move what is left once the cutover is complete; before that, wait for them"
	}
	if strings.HasSuffix(name, "-shadow") {
		return // copies without side effects
	}
	line := func(id, what string, sev Severity, is bool, measured, clear, otherwise string, examples ...string) {
		r.found(ReportLine{ID: id, Queue: name, Title: what, Severity: sev, Measured: measured, Clear: clear, Examples: examples}, is, otherwise)
	}
	line("waiting", "Jobs in line", SeverityBlocks, n.Waiting+n.Prioritized+n.Active > 0, fmt.Sprintf("%d waiting, %d prioritized, %d active", n.Waiting, n.Prioritized, n.Active), leave, "none")
	dates := ""
	if q.DelayedFirst != nil && q.DelayedLast != nil {
		dates = fmt.Sprintf(", due from %s to %s", when(*q.DelayedFirst), when(*q.DelayedLast))
	}
	line("delayed", "Delayed jobs", SeverityBlocks, n.Delayed > 0, fmt.Sprintf("%d%s; %d of them wait for another try", n.Delayed, dates, q.Retrying), leave, "none")
	line("failed", "Failed jobs", SeverityCareful, n.Failed > 0, fmt.Sprintf("%d", n.Failed), "retry or remove them, or move them too: "+leave, "none")
	var legacy, dead, ticks []string
	for _, s := range q.Schedulers {
		switch {
		case s.Legacy:
			legacy = append(legacy, s.ID)
		case s.PendingMissing:
			dead = append(dead, s.ID)
		default:
			ticks = append(ticks, fmt.Sprintf("%s at %s", s.ID, when(s.Next)))
		}
	}
	line("repeatable", "Repeatable jobs of the kind BullMQ 6 refuses", SeverityBlocks, len(legacy) > 0, fmt.Sprintf("%d", len(legacy)), "make job schedulers of them with upsertJobScheduler, then removeRepeatableByKey", "none", some(legacy)...)
	line("scheduler-dead", "Schedulers whose next job is missing", SeverityBlocks, len(dead) > 0, fmt.Sprintf("%d, which never run again", len(dead)), "upsertJobScheduler in the app makes the next job", "none", some(dead)...)
	move := "run the step Move the other queues: schedulers move with their queue"
	if routed {
		move = "upsertJobScheduler on the target, then removeJobScheduler on the source: on both, every run happens twice"
	}
	line("schedulers", "Job schedulers", SeverityBlocks, len(ticks) > 0, fmt.Sprintf("%d", len(ticks)), move, "none", some(ticks)...)
	line("flows", "Jobs that wait for children", SeverityBlocks, n.WaitingChildren > 0, fmt.Sprintf("%d parents, %d with pending children", n.WaitingChildren, q.FlowParents), "let the flows finish, or move the queues as a whole", "none")
	line("stalled", "Active jobs without a living worker", SeverityBlocks, q.StalledCount > 0, fmt.Sprintf("%d", q.StalledCount), "keep one worker on the source until its stalled check has returned them", "none", q.Stalled...)
	line("orphans", "Jobs that no list names", SeverityBlocks, q.HashesWithoutIndex > 0, fmt.Sprintf("%d, which BullMQ will never run", q.HashesWithoutIndex), "look at each: add it again, or delete its key", "none", q.Examples...)
	line("empty", "Listed ids without a job", SeverityBlocks, q.IndexedWithoutHash > 0, fmt.Sprintf("%d, which BullMQ would run with empty data", q.IndexedWithoutHash), "find the orders in the ledger, then remove the ids: eviction or a deletion took the jobs", "none", q.Examples...)
	var endless []string
	for _, d := range q.Dedup {
		if d.TTL == 0 {
			endless = append(endless, d.ID)
		}
	}
	line("dedup", "Deduplication", SeverityCareful, q.DedupCount+q.DedupNext > 0, fmt.Sprintf("%d ids hold further jobs off, %d of the first %d until their job is gone; %d payloads wait for an active job's end", q.DedupCount, len(endless), len(q.Dedup), q.DedupNext),
		"each side knows its own ids alone: the same id can be added once on each during the dual run", "none", some(endless)...)
	limits := []string{}
	if q.RateLimit != nil {
		limits = append(limits, fmt.Sprintf("%d jobs in %s for the queue", q.RateLimit.Max, q.RateLimit.Duration))
	}
	if q.Limited {
		limits = append(limits, "workers limit their rate")
	}
	if q.Concurrency > 0 {
		limits = append(limits, fmt.Sprintf("%d jobs at once", q.Concurrency))
	}
	line("limits", "Limits that count on each side alone", SeverityCareful, len(limits) > 0, strings.Join(limits, "; "), "halve them for the dual run where the outside world cannot bear twice as much", "none")
	line("limiter", "Rate limit counter without an end", SeverityBlocks, q.LimitedEver, "the counter never starts again, so the limit is off", "delete the key "+q.Queue.Key("limiter"), "none")
	r.versions(q, target)
	r.ends(q, target)
}

// versions looks for two majors on one queue: they pause in different ways, and one's resume loses what the other put aside.
func (r *reporter) versions(q bullmq.QueueSurvey, target SideSurvey) {
	l := ReportLine{ID: "versions", Queue: q.Queue.String(), Title: "BullMQ versions", Severity: SeverityCareful}
	there, known := target.Survey.Queue(q.Queue)
	l.Measured = fmt.Sprintf("%s on the source, %s on the target", orNone(q.Layout), orNone(there.Layout))
	l.Clear = "pause and resume with Switchyard only: BullMQ's own resume of another version loses jobs; and bring the apps to one version"
	r.found(l, known && q.Layout != "" && there.Layout != "" && q.Layout != there.Layout, l.Measured)
}

// when is a date as people read it.
func when(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 UTC") }

func orNone(layout string) string {
	if layout == "" {
		return "unknown"
	}
	return layout
}

// ends looks at who would run the jobs then.
func (r *reporter) ends(q bullmq.QueueSurvey, target SideSurvey) {
	l := ReportLine{ID: "target-workers", Queue: q.Queue.String(), Title: "Workers on the target", Severity: SeverityBlocks, Measured: "none: jobs would wait", Clear: "start the queue's workers on the target"}
	there, known := target.Survey.Queue(q.Queue)
	switch {
	case !target.Usable():
		l.Severity, l.Measured, l.Clear = SeverityUnknown, "the target is not known", "make the target readable"
		r.add(l)
		return
	case known && there.WorkersNote != "":
		l.Severity, l.Measured, l.Clear = SeverityUnknown, there.WorkersNote, "make sure by a canary job"
		r.add(l)
		return
	}
	r.found(l, len(there.Workers) == 0, fmt.Sprintf("%d connected", len(there.Workers)))
	if q.WorkersNote == "" {
		r.found(ReportLine{ID: "source-workers", Queue: q.Queue.String(), Title: "Workers on the source", Severity: SeverityCareful, Measured: fmt.Sprintf("%d connected", len(q.Workers)),
			Clear: "they have nothing to do once the queue is empty; stop them before the decommission"}, len(q.Workers) > 0, "none")
	}
}

// flows looks for flows that reach from a queue that changes sides by flag into another one.
func (r *reporter) flows(s bullmq.Survey) {
	for _, q := range r.e.queues {
		own, ok := s.Queue(q)
		if !ok {
			continue
		}
		var tied []string
		for _, other := range own.TiedTo {
			tied = append(tied, other.String())
		}
		r.found(ReportLine{ID: "flows-across", Queue: q.String(), Title: "Flows into other queues", Severity: SeverityBlocks, Measured: strings.Join(tied, ", "),
			Clear: "a child that completes on one side never releases a parent on the other: route these queues together, or let the flows finish first"}, len(tied) > 0, "none")
	}
}

// room compares what the source holds with what the target has free.
func (r *reporter) room(ctx context.Context, s bullmq.Survey) {
	l := ReportLine{ID: "memory", Title: "Room on the target", Clear: "take a larger plan, or drain the queues first"}
	var need int64
	for _, q := range s.Queues {
		if q.MovedBy == "" {
			need += q.MemoryBytes
		}
	}
	target, _, err := r.e.Target(ctx)
	var facts redisconn.Facts
	if err == nil {
		facts, err = redisconn.Inspect(ctx, target)
	}
	switch free := facts.MaxMemory - facts.UsedMemory; {
	case err != nil:
		l.Measured, l.Clear = inWords(err), "make the target readable"
	case facts.MaxMemory == 0:
		l.Severity, l.Measured, l.Clear = SeverityCareful, fmt.Sprintf("the target tells no limit; the queues take about %s", megabytes(need)), "compare with the plan's size"
	default:
		l.Severity, l.Measured = SeverityClear, fmt.Sprintf("%s free of %s; the queues take about %s", megabytes(free), megabytes(facts.MaxMemory), megabytes(need))
		if need*3/2 > free {
			l.Severity = SeverityBlocks
		} else {
			l.Clear = ""
		}
	}
	r.add(l)
}

// twice looks for jobs in line on the source whose id the target knows too: they would run on both, or stay behind as a conflict.
func (r *reporter) twice(ctx context.Context, s bullmq.Survey) {
	const looked = 1000
	source, _, err := r.e.Source(ctx, r.v.migration.ID)
	var target redis.UniversalClient
	if err == nil {
		target, _, err = r.e.Target(ctx)
	}
	for _, q := range r.e.queues {
		l := ReportLine{ID: "duplicates", Queue: q.String(), Title: "Ids that both sides know", Severity: SeverityBlocks, Clear: "look at both in the order ledger, then remove the one that has not run"}
		if _, ok := s.Queue(q); !ok {
			continue
		}
		var both []string
		if err == nil {
			both, err = bullmq.OnBoth(ctx, source, target, q, looked)
		}
		if err != nil {
			l.Severity, l.Measured, l.Clear = SeverityUnknown, inWords(err), "make both sides readable"
			r.add(l)
			continue
		}
		l.Measured, l.Examples = fmt.Sprintf("%d of the first %d jobs in each state", len(both), looked), some(both)
		r.found(l, len(both) > 0, "none")
	}
}

// some are the first few of a list.
func some(ids []string) []string { return ids[:min(len(ids), 20)] }
