package cutoverreport

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// queue looks at one queue of the source.
func (r *reporter) queue(q bullmq.QueueSurvey, target environment.SideSurvey) {
	n, name := q.Counts, q.Queue.String()
	routed := slices.ContainsFunc(
		r.e.Servers.Queues,
		func(own bullmq.Queue) bool { return own.Key("") == q.Queue.Key("") },
	)
	leave := "run the step Move the other queues"
	tell := leave + ": a queue takes its version along"
	if routed {
		tell = "BullMQ 5 and later write their version to a queue that the app opens; dual " +
			"write opens it on the target, then check again"
		leave = "they move with the step Move the remaining jobs once the cutover is complete; " +
			"before that, wait for them"
	}
	if strings.HasSuffix(name, "-shadow") {
		return // copies without side effects
	}
	line := func(id, what string, sev Severity, is bool, measured, clear, otherwise string, examples ...string) {
		r.found(
			ReportLine{
				ID:       id,
				Queue:    name,
				Title:    what,
				Severity: sev,
				Measured: measured,
				Clear:    clear,
				Examples: examples,
			},
			is,
			otherwise,
		)
	}
	line(
		"waiting",
		"Waiting and active jobs",
		SeverityBlocks,
		n.Waiting+n.Prioritized+n.Active > 0,
		fmt.Sprintf("%d waiting, %d prioritized, %d active", n.Waiting, n.Prioritized, n.Active),
		leave,
		"none",
	)
	dates := ""
	if q.DelayedFirst != nil && q.DelayedLast != nil {
		dates = fmt.Sprintf(", due from %s to %s", when(*q.DelayedFirst), when(*q.DelayedLast))
	}
	line(
		"delayed",
		"Delayed jobs",
		SeverityBlocks,
		n.Delayed > 0,
		fmt.Sprintf("%d%s; %d of them waiting for retry", n.Delayed, dates, q.Retrying),
		leave,
		"none",
	)
	line(
		"failed",
		"Failed jobs",
		SeverityCareful,
		n.Failed > 0,
		fmt.Sprintf("%d", n.Failed),
		"retry or remove them, or move them too: "+leave,
		"none",
	)
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
	line(
		"repeatable",
		"Repeatable jobs that BullMQ 6 rejects",
		SeverityBlocks,
		len(legacy) > 0,
		fmt.Sprintf("%d", len(legacy)),
		"replace them by job schedulers with upsertJobScheduler, then removeRepeatableByKey",
		"none",
		some(legacy)...)
	line(
		"scheduler-dead",
		"Schedulers whose next job is missing",
		SeverityBlocks,
		len(dead) > 0,
		fmt.Sprintf("%d that never run again", len(dead)),
		"call upsertJobScheduler in the app to create the next job",
		"none",
		some(dead)...)
	move := "run the step Move the other queues: schedulers move with their queue"
	if routed {
		move = "upsertJobScheduler on the target, then removeJobScheduler on the source: on " +
			"both, every run happens twice"
	}
	line(
		"schedulers",
		"Job schedulers",
		SeverityBlocks,
		len(ticks) > 0,
		fmt.Sprintf("%d", len(ticks)),
		move,
		"none",
		some(ticks)...)
	line(
		"flows",
		"Jobs waiting for children",
		SeverityBlocks,
		n.WaitingChildren > 0,
		fmt.Sprintf("%s, %d with pending children", migration.Count(n.WaitingChildren, "parent"), q.FlowParents),
		"let the flows finish, or move the queues as a whole",
		"none",
	)
	line(
		"stalled",
		"Active jobs without a live worker",
		SeverityBlocks,
		q.StalledCount > 0,
		fmt.Sprintf("%d", q.StalledCount),
		"keep one worker on the source until its stalled check has returned them",
		"none",
		q.Stalled...)
	line(
		"orphans",
		"Orphaned jobs",
		SeverityBlocks,
		q.HashesWithoutIndex > 0,
		fmt.Sprintf("%d that BullMQ will never run", q.HashesWithoutIndex),
		"check each: add it again, or delete its key",
		"none",
		q.Examples...)
	line(
		"empty",
		"Dangling job IDs",
		SeverityBlocks,
		q.IndexedWithoutHash > 0,
		fmt.Sprintf("%d that BullMQ would run with empty data", q.IndexedWithoutHash),
		"find the orders in the ledger, then remove the IDs: the jobs were evicted or deleted",
		"none",
		q.Examples...)
	var endless []string
	for _, d := range q.Dedup {
		if d.TTL == 0 {
			endless = append(endless, d.ID)
		}
	}
	line(
		"dedup",
		"Deduplication",
		SeverityCareful,
		q.DedupCount+q.DedupNext > 0,
		fmt.Sprintf(
			"%s, %d of the first %d until their job is removed; %s waiting for an active job to "+
				"finish",
			migration.Count(q.DedupCount, "active deduplication ID"),
			len(endless),
			len(q.Dedup),
			migration.Count(q.DedupNext, "payload"),
		),
		"each side only knows its own IDs: the same ID can be added once on each during the "+
			"dual run",
		"none",
		some(endless)...)
	limits := []string{}
	if q.RateLimit != nil {
		limits = append(
			limits,
			fmt.Sprintf("%s per %s for the queue", migration.Count(q.RateLimit.Max, "job"),
				migration.Words(q.RateLimit.Duration)),
		)
	}
	if q.Limited {
		limits = append(limits, "worker rate limit")
	}
	if q.Concurrency > 0 {
		limits = append(limits, fmt.Sprintf("concurrency %d", q.Concurrency))
	}
	line(
		"limits",
		"Limits that apply to each side separately",
		SeverityCareful,
		len(limits) > 0,
		strings.Join(limits, "; "),
		"halve them for the dual run where external services cannot handle twice as much",
		"none",
	)
	line(
		"limiter",
		"Rate limit counter that never expires",
		SeverityBlocks,
		q.LimitedEver,
		"the counter never resets, so the limit is off",
		"delete the key "+q.Queue.Key("limiter"),
		"none",
	)
	r.versions(q, target, tell)
	r.ends(q, target)
}

// versions looks for two majors on one queue: they pause in different ways, and one's
// resume loses what the other put aside. tell is what to do
// where one side does not say.
func (r *reporter) versions(
	q bullmq.QueueSurvey, target environment.SideSurvey, tell string,
) {
	l := ReportLine{
		ID:       "versions",
		Queue:    q.Queue.String(),
		Title:    "BullMQ versions",
		Severity: SeverityCareful,
	}
	there, _ := target.Survey.Queue(q.Queue)
	l.Measured = fmt.Sprintf(
		"%s on the source, %s on the target",
		orNone(q.Layout),
		orNone(there.Layout),
	)
	if q.Layout == "" || there.Layout == "" {
		l.Severity = SeverityUnknown
		l.Clear = tell
		r.add(l)
		return
	}
	l.Clear = "only pause and resume with Switchyard (resuming with a different BullMQ version " +
		"loses jobs), and move the apps to one version"
	r.found(l, q.Layout != there.Layout, l.Measured)
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
func (r *reporter) ends(q bullmq.QueueSurvey, target environment.SideSurvey) {
	l := ReportLine{
		ID:       "target-workers",
		Queue:    q.Queue.String(),
		Title:    "Workers on the target",
		Severity: SeverityBlocks,
		Measured: "none: jobs would wait",
		Clear:    "start the queue's workers on the target",
	}
	there, known := target.Survey.Queue(q.Queue)
	switch {
	case !target.Usable():
		l.Severity, l.Measured, l.Clear = SeverityUnknown, "the target is unknown", "make the target readable"
		r.add(l)
		return
	case known && there.WorkersNote != "":
		l.Severity, l.Measured, l.Clear = SeverityUnknown, there.WorkersNote, "verify with a canary job"
		r.add(l)
		return
	}
	r.found(l, len(there.Workers) == 0, fmt.Sprintf("%d connected", len(there.Workers)))
	if q.WorkersNote == "" {
		r.found(
			ReportLine{
				ID:       "source-workers",
				Queue:    q.Queue.String(),
				Title:    "Workers on the source",
				Severity: SeverityCareful,
				Measured: fmt.Sprintf("%d connected", len(q.Workers)),
				Clear: "they have nothing to do once the queue is empty; stop them before " +
					"decommissioning",
			},
			len(q.Workers) > 0,
			"none",
		)
	}
}

// some are the first few of a list.
func some(ids []string) []string { return ids[:min(len(ids), 20)] }
