package cutoverreport

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
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
	if routed {
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
		fmt.Sprintf("%d%s; %d of them wait for another try", n.Delayed, dates, q.Retrying),
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
		"Repeatable jobs of the kind BullMQ 6 refuses",
		SeverityBlocks,
		len(legacy) > 0,
		fmt.Sprintf("%d", len(legacy)),
		"make job schedulers of them with upsertJobScheduler, then removeRepeatableByKey",
		"none",
		some(legacy)...)
	line(
		"scheduler-dead",
		"Schedulers whose next job is missing",
		SeverityBlocks,
		len(dead) > 0,
		fmt.Sprintf("%d, which never run again", len(dead)),
		"upsertJobScheduler in the app makes the next job",
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
		"Jobs that wait for children",
		SeverityBlocks,
		n.WaitingChildren > 0,
		fmt.Sprintf("%d parents, %d with pending children", n.WaitingChildren, q.FlowParents),
		"let the flows finish, or move the queues as a whole",
		"none",
	)
	line(
		"stalled",
		"Active jobs without a living worker",
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
		fmt.Sprintf("%d, which BullMQ will never run", q.HashesWithoutIndex),
		"look at each: add it again, or delete its key",
		"none",
		q.Examples...)
	line(
		"empty",
		"Dangling job IDs",
		SeverityBlocks,
		q.IndexedWithoutHash > 0,
		fmt.Sprintf("%d, which BullMQ would run with empty data", q.IndexedWithoutHash),
		"find the orders in the ledger, then remove the ids: eviction or a deletion took the jobs",
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
			"%d ids hold further jobs off, %d of the first %d until their job is gone; %d "+
				"payloads wait for an active job's end",
			q.DedupCount,
			len(endless),
			len(q.Dedup),
			q.DedupNext,
		),
		"each side knows its own ids alone: the same id can be added once on each during the "+
			"dual run",
		"none",
		some(endless)...)
	limits := []string{}
	if q.RateLimit != nil {
		limits = append(
			limits,
			fmt.Sprintf("%d jobs in %s for the queue", q.RateLimit.Max, q.RateLimit.Duration),
		)
	}
	if q.Limited {
		limits = append(limits, "workers limit their rate")
	}
	if q.Concurrency > 0 {
		limits = append(limits, fmt.Sprintf("%d jobs at once", q.Concurrency))
	}
	line(
		"limits",
		"Limits that count on each side alone",
		SeverityCareful,
		len(limits) > 0,
		strings.Join(limits, "; "),
		"halve them for the dual run where the outside world cannot bear twice as much",
		"none",
	)
	line(
		"limiter",
		"Rate limit counter without an end",
		SeverityBlocks,
		q.LimitedEver,
		"the counter never starts again, so the limit is off",
		"delete the key "+q.Queue.Key("limiter"),
		"none",
	)
	r.versions(q, target)
	r.ends(q, target)
}

// versions looks for two majors on one queue: they pause in different ways, and one's
// resume loses what the other put aside.
func (r *reporter) versions(q bullmq.QueueSurvey, target environment.SideSurvey) {
	l := ReportLine{
		ID:       "versions",
		Queue:    q.Queue.String(),
		Title:    "BullMQ versions",
		Severity: SeverityCareful,
	}
	there, known := target.Survey.Queue(q.Queue)
	l.Measured = fmt.Sprintf(
		"%s on the source, %s on the target",
		orNone(q.Layout),
		orNone(there.Layout),
	)
	l.Clear = "pause and resume with Switchyard only: BullMQ's own resume of another version " +
		"loses jobs; and bring the apps to one version"
	r.found(
		l,
		known && q.Layout != "" && there.Layout != "" && q.Layout != there.Layout,
		l.Measured,
	)
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
		r.found(
			ReportLine{
				ID:       "source-workers",
				Queue:    q.Queue.String(),
				Title:    "Workers on the source",
				Severity: SeverityCareful,
				Measured: fmt.Sprintf("%d connected", len(q.Workers)),
				Clear: "they have nothing to do once the queue is empty; stop them before " +
					"the decommission",
			},
			len(q.Workers) > 0,
			"none",
		)
	}
}

// some are the first few of a list.
func some(ids []string) []string { return ids[:min(len(ids), 20)] }
