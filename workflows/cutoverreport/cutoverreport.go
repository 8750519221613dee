// Package cutoverreport tells what would break if the source were left at this moment, line
// by line, and how to clear it.
package cutoverreport

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/progress"
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
	At    time.Time `json:"at"`
	Ready bool      `json:"ready"` // no line blocks and none is unknown
	// Over: the source was left for good, so that nothing of it is looked at any more.
	Over  bool         `json:"over,omitempty"`
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

// Take looks at everything. It reads only.
func Take(ctx context.Context, e *environment.Environment, v progress.View) CutoverReport {
	r := &reporter{e: e, v: v}
	both := e.Surveys.Both(ctx, e.Servers, v.Migration.ID)
	over := !v.Routing.HasSource()
	if over {
		r.left()
	} else {
		r.side(both[0])
	}
	r.side(both[1])
	r.fleet(ctx)
	r.ledger()
	r.streams(ctx)
	if both[0].Usable() && !over {
		for _, q := range both[0].Survey.Queues {
			if q.MovedBy == "" {
				r.queue(q, both[1])
			}
		}
		r.flows(both[0].Survey)
		r.room(ctx, both[0].Survey)
		r.twice(ctx, both[0].Survey)
	}
	out := CutoverReport{At: v.At, Ready: true, Over: over, Lines: r.lines}
	rank := map[Severity]int{
		SeverityBlocks:  0,
		SeverityUnknown: 1,
		SeverityCareful: 2,
		SeverityClear:   3,
	}
	slices.SortStableFunc(
		out.Lines,
		func(a, b ReportLine) int { return rank[a.Severity] - rank[b.Severity] },
	)
	for _, l := range out.Lines {
		out.Ready = out.Ready && (l.Severity == SeverityClear || l.Severity == SeverityCareful)
	}
	return out
}

type reporter struct {
	e     *environment.Environment
	v     progress.View
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
func (r *reporter) side(s environment.SideSurvey) {
	l := ReportLine{
		ID:       s.Side,
		Title:    title(s.Side) + " can be read",
		Severity: SeverityUnknown,
		Measured: s.Error,
		Clear:    "make the server reachable, or wait until it has been read",
	}
	if s.Reading != "" {
		l.Measured += "; " + s.Reading
	}
	if s.Usable() {
		l.Severity, l.Clear = SeverityClear, ""
		l.Measured = fmt.Sprintf(
			"%s, %s, counted %s ago; last full scan %s ago, took %s",
			migration.Count(s.Survey.Keys, "key"),
			migration.Count(len(s.Survey.Queues), "queue"),
			migration.Words(r.v.At.Sub(s.Survey.ReadAt)),
			migration.Words(r.v.At.Sub(s.Survey.At)),
			migration.Words(s.Survey.Took),
		)
	}
	r.add(l)
}

// left says that there is no source any more: it was disconnected on purpose.
func (r *reporter) left() {
	said := "disconnected for decommissioning"
	if run := r.v.LatestRun(migration.StepDecommission); run != nil && run.FinishedAt != nil {
		said = "decommissioned " + migration.Words(r.v.At.Sub(*run.FinishedAt).Round(
			time.Second)) + " ago"
	}
	r.add(ReportLine{ID: "source", Title: "Source is no longer in use",
		Severity: SeverityClear, Measured: said})
}

func title(side string) string { return strings.ToUpper(side[:1]) + side[1:] }

// fleet says whether the workers would hear of it.
func (r *reporter) fleet(ctx context.Context) {
	g := r.e.Workers.Gate(ctx, r.v.Migration.ID, r.v.Routing.Revision, true)
	l := ReportLine{
		ID:       "workers",
		Title:    g.Title,
		Severity: SeverityBlocks,
		Measured: g.Measured,
		Clear:    g.Next,
	}
	r.found(l, !g.OK, g.Measured)
}

// ledger says what the providers still owe the source, or it them.
func (r *reporter) ledger() {
	ledger, err := r.e.Journal.Read()
	if err != nil {
		r.add(
			ReportLine{
				ID:       "ledger",
				Title:    "Order ledger",
				Severity: SeverityUnknown,
				Measured: environment.InWords(err),
				Clear:    "make sure the ingestion app is up",
			},
		)
		return
	}
	s := ledger.Summary(r.v.At, r.e.Journal.Deadline())
	r.found(
		ReportLine{
			ID:       "ledger",
			Title:    "Order ledger",
			Severity: SeverityBlocks,
			Measured: fmt.Sprintf("%s lost, %d processed twice, %s, %d contradictory",
				migration.Count(s.Lost, "order"), s.Duplicated,
				migration.Count(s.Mismatches, "mismatch"), s.Contradicted),
			Clear: "find out why before switching anything",
			Examples: slices.Concat(s.LostIDs, s.DuplicatedIDs, s.MismatchIDs,
				s.ContradictedIDs),
		},
		s.Red() > 0,
		fmt.Sprintf("%d acknowledged, none lost, none processed twice", s.Acknowledged),
	)
	var waiting []string
	for _, story := range ledger.Retries(0) {
		if !story.Acknowledged {
			waiting = append(waiting, story.Order)
		}
	}
	r.found(
		ReportLine{
			ID:       "provider-retries",
			Title:    "Pending provider retries",
			Severity: SeverityCareful,
			Measured: fmt.Sprintf(
				"%s got 503 and not redelivered yet",
				migration.Count(len(waiting), "order"),
			),
			Clear: "they go to whichever side accepts orders by then; keep the app's address " +
				"the same until then",
			Examples: some(waiting),
		},
		len(waiting) > 0,
		"none",
	)
}

// streams says what both servers' events tell.
func (r *reporter) streams(ctx context.Context) {
	g := r.e.Streams.Gate(ctx, r.v.Migration.ID)
	r.found(
		ReportLine{
			ID:       g.ID,
			Title:    g.Title,
			Severity: SeverityBlocks,
			Measured: g.Measured,
			Clear:    g.Next,
		},
		!g.OK,
		g.Measured,
	)
}

// flows looks for flows that reach from a queue that changes sides by flag into another one.
func (r *reporter) flows(s bullmq.Survey) {
	for _, q := range r.e.Servers.Queues {
		own, ok := s.Queue(q)
		if !ok {
			continue
		}
		var tied []string
		for _, other := range own.TiedTo {
			tied = append(tied, other.String())
		}
		r.found(
			ReportLine{
				ID:       "flows-across",
				Queue:    q.String(),
				Title:    "Flows into other queues",
				Severity: SeverityBlocks,
				Measured: strings.Join(tied, ", "),
				Clear: "a child that completes on one side never releases a parent on the " +
					"other: route these queues together, or let the flows finish first",
			},
			len(tied) > 0,
			"none",
		)
	}
}

// room compares what the source holds with what the target has free.
func (r *reporter) room(ctx context.Context, s bullmq.Survey) {
	l := ReportLine{
		ID:    "memory",
		Title: "Free memory on the target",
		Clear: "choose a larger plan, or drain the queues first",
	}
	var need int64
	for _, q := range s.Queues {
		if q.MovedBy == "" {
			need += q.MemoryBytes
		}
	}
	target, _, err := r.e.Servers.Target(ctx)
	var facts redisconn.Facts
	if err == nil {
		facts, err = redisconn.Inspect(ctx, target)
	}
	switch free := facts.MaxMemory - facts.UsedMemory; {
	case err != nil:
		l.Measured, l.Clear = environment.InWords(err), "make the target readable"
	case facts.MaxMemory == 0:
		l.Severity, l.Measured, l.Clear = SeverityCareful, fmt.Sprintf(
			"the target reports no limit; the queues need about %s",
			migration.Bytes(need),
		), "compare with the plan's size"
	default:
		l.Severity, l.Measured = SeverityClear, fmt.Sprintf(
			"%s free of %s; the queues need about %s",
			migration.Bytes(free),
			migration.Bytes(facts.MaxMemory),
			migration.Bytes(need),
		)
		if need*3/2 > free {
			l.Severity = SeverityBlocks
		} else {
			l.Clear = ""
		}
	}
	r.add(l)
}

// twice looks for jobs in line on the source whose id the target knows too: they would run
// on both, or stay behind as a conflict.
func (r *reporter) twice(ctx context.Context, s bullmq.Survey) {
	const looked = 1000
	source, _, err := r.e.Servers.Source(ctx, r.v.Migration.ID)
	var target redis.UniversalClient
	if err == nil {
		target, _, err = r.e.Servers.Target(ctx)
	}
	for _, q := range r.e.Servers.Queues {
		l := ReportLine{
			ID:       "duplicates",
			Queue:    q.String(),
			Title:    "Job IDs on both sides",
			Severity: SeverityBlocks,
			Clear:    "check both in the order ledger, then remove the one that has not run",
		}
		if _, ok := s.Queue(q); !ok {
			continue
		}
		var both []string
		if err == nil {
			both, err = bullmq.OnBoth(ctx, source, target, q, looked)
		}
		if err != nil {
			l.Severity, l.Measured, l.Clear = SeverityUnknown, environment.InWords(
				err,
			), "make both sides readable"
			r.add(l)
			continue
		}
		l.Measured, l.Examples = fmt.Sprintf(
			"%d of the first %d jobs in each state",
			len(both),
			looked,
		), some(
			both,
		)
		r.found(l, len(both) > 0, "none")
	}
}
