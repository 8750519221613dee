package queuepages

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func queueFacts(q bullmq.QueueSurvey, now time.Time) []migration.Fact {
	var l ui.Facts
	l.Add("BullMQ", true, "%s", orUnknown(q.Counts.Version, q.Layout))
	switch {
	case q.WorkersNote != "":
		l.Add("Workers", true, "unknown: %s", q.WorkersNote)
	case len(q.Workers) == 0:
		l.Add("Workers", true, "none connected")
	default:
		var names []string
		for _, w := range q.Workers {
			names = append(names, strings.TrimSpace(w.Name+" "+w.Addr))
		}
		l.Add("Workers", true, "%d: %s", len(names), strings.Join(names[:min(5, len(names))], ", "))
	}
	if q.DelayedFirst != nil && q.DelayedLast != nil {
		var over []string
		for _, h := range bullmq.Horizons {
			if n := q.DelayedOver[h.Name]; n > 0 {
				over = append(over, fmt.Sprintf("%s %s", ui.Number(n), h.Name))
			}
		}
		l.Add(
			"Delayed",
			true,
			"%s; first %s, last %s",
			strings.Join(over, ", "),
			ui.Stamp(*q.DelayedFirst),
			ui.Stamp(*q.DelayedLast),
		)
	}
	l.Add("Waiting for retry", q.Retrying > 0, "%s", ui.Number(q.Retrying))
	var tied []string
	for _, t := range q.TiedTo {
		tied = append(tied, t.String())
	}
	l.Add(
		"Flows",
		q.FlowParents+q.FlowChildren > 0,
		"%s with pending children, %s",
		ui.Count(q.FlowParents, "parent"),
		ui.Count(q.FlowChildren, "child", "children"),
	)
	l.Add("Linked by flows to", len(tied) > 0, "%s", strings.Join(tied, ", "))
	l.Add(
		"Deduplication",
		q.DedupCount > 0,
		"%s",
		ui.Count(q.DedupCount, "active deduplication ID"),
	)
	l.Add(
		"Deferred payloads",
		q.DedupNext > 0,
		"%s until an active job finishes",
		ui.Number(q.DedupNext),
	)
	if q.RateLimit != nil {
		l.Add(
			"Rate limit",
			true,
			"%s per %s",
			ui.Count(q.RateLimit.Max, "job"),
			migration.Words(q.RateLimit.Duration),
		)
	}
	l.Add(
		"Worker rate limit",
		q.Limited,
		"active%s",
		map[bool]string{true: ", but its counter never expires: the limit is off"}[q.LimitedEver],
	)
	l.Add("Concurrency", q.Concurrency > 0, "%s for all workers", ui.Number(q.Concurrency))
	l.Add(
		"Orphaned jobs",
		q.HashesWithoutIndex > 0,
		"%s: BullMQ never runs them",
		ui.Number(q.HashesWithoutIndex),
	)
	l.Add(
		"Dangling job IDs",
		q.IndexedWithoutHash > 0,
		"%s: BullMQ would run them with empty data",
		ui.Number(q.IndexedWithoutHash),
	)
	l.Add(
		"Stalled",
		q.StalledCount > 0,
		"%s active without a live worker",
		ui.Number(q.StalledCount),
	)
	l.Add("Memory", true, "%s (%s)", migration.Bytes(q.MemoryBytes), q.MemoryNote)
	l.Add(
		"Payload",
		q.Payload.Sampled > 0,
		"p50 %s, p95 %s, p99 %s, max %s (%s measured)",
		migration.Bytes(q.Payload.P50),
		migration.Bytes(q.Payload.P95),
		migration.Bytes(q.Payload.P99),
		migration.Bytes(q.Payload.Max),
		ui.Count(int64(q.Payload.Sampled), "job"),
	)
	if q.Counts.OldestJobAgeMS > 0 {
		l.Add(
			"Oldest waiting job",
			true,
			"%s",
			migration.Words(time.Duration(q.Counts.OldestJobAgeMS)*time.Millisecond),
		)
	}
	return l
}

func orUnknown(version, layout string) string {
	switch {
	case version != "":
		return version
	case layout != "":
		return layout + " (judging by its keys)"
	}
	return "version unknown"
}
