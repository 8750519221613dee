package queuepages

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// LedgerOrder is the page of one order's whole life.
type LedgerOrder struct {
	MigrationID string
	ID          string
	Order       workflows.LedgerOrder
	Unknown     string // why nothing is known; empty when something is
	Now         time.Time
}

// moment is one line of an order's life.
type moment struct {
	at   int64 // unix ms
	who  string
	side string // source, target or ""
	what string
}

// timeline puts everything that is known of an order in the order of time. The clocks are
// the application's, each server's and our own.
func timeline(o workflows.LedgerOrder) []moment {
	var out []moment
	if o.Journal != nil {
		for _, m := range o.Journal.Moments {
			out = append(out, moment{at: m.At, who: "Application", what: m.What})
		}
	}
	for _, life := range o.Lives {
		for i, s := range life.Stays {
			if s == nil {
				continue
			}
			add := func(at int64, what string) {
				if at != 0 {
					out = append(
						out,
						moment{
							at:   at,
							who:  ui.Title(ledger.Places[i]),
							side: strings.Fields(ledger.Places[i])[0],
							what: what,
						},
					)
				}
			}
			add(s.AddedAt, "added to "+life.Queue+" as "+life.Job)
			if s.At != s.AddedAt || s.State != "waiting" {
				add(s.At, stayWords(s))
			}
			if s.Due > 0 {
				add(s.Due, "due")
			}
			if s.Missing != nil {
				add(s.Missing.MS, "searched for on the server: "+s.Why)
			}
		}
	}
	for _, e := range o.Exceptions {
		out = append(
			out,
			moment{at: e.At, who: "Ledger", what: verdictWord(e.Verdict) + ": " + e.Detail},
		)
		if e.SettledBy != "" {
			out = append(
				out,
				moment{
					at:   e.SettledAt,
					who:  "Ledger",
					what: verdictWord(e.Verdict) + " resolved by " + e.SettledBy,
				},
			)
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return out
}

func stayWords(s *ledger.Stay) string {
	parts := []string{s.State}
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, strconv.Itoa(n)+" "+many)
		}
	}
	add(s.Active, "attempt", "attempts")
	add(s.Retried, "retry", "retries")
	add(s.Stalled, "stall", "stalls")
	add(s.Completed, "effective completion", "effective completions")
	add(s.Harmless, "completion without effect", "completions without effect")
	if s.Result != "" {
		parts = append(parts, "result "+ui.Short(s.Result))
	}
	return strings.Join(parts, ", ")
}

// orderStatus is of an order without exceptions: only what is known whole may look good.
func orderStatus(o workflows.LedgerOrder) ui.Status {
	open := slices.ContainsFunc(o.Lives, func(l ledger.Life) bool { return l.Open() })
	switch j := o.Journal; {
	case j != nil && (j.Applied > 1 || j.Different != ""):
		return ui.Bad("Problem in the application's record")
	case open || j != nil && j.Applied == 0:
		return ui.Running("In flight, no problems so far")
	case len(unknowns(o)) > 0:
		return ui.Stale("No problems found, but some information is missing").As("circle-help")
	}
	return ui.OK("No problems")
}

// unknowns say what is not known of an order, and why.
func unknowns(o workflows.LedgerOrder) (out []string) {
	if o.Note != "" {
		out = append(out, o.Note)
	}
	switch {
	case o.Journal == nil:
		out = append(
			out,
			"the application's journal has no record of it, so what the payment provider was "+
				"told is unknown",
		)
	case o.Journal.Folded:
		out = append(
			out,
			"it was processed correctly long ago, and only the minute of the application's "+
				"record is kept",
		)
	}
	if o.Done && len(o.Lives) == 0 {
		out = append(
			out,
			"the events showed earlier that it took effect; the details are no longer kept",
		)
	}
	if !o.Done && len(o.Lives) == 0 {
		out = append(
			out,
			"no event mentions it: its job was not seen, or finished before tracking started",
		)
	}
	for _, life := range o.Lives {
		if life.Partial {
			out = append(
				out,
				"its beginning was not seen: it was added before tracking started, or was moved "+
					"here",
			)
		}
		if life.Before {
			out = append(out, "an earlier job with this ID took effect")
		}
		for i, s := range life.Stays {
			if s != nil && s.Unsure {
				out = append(
					out,
					"entries of "+ledger.Places[i]+" were missed while it was there, so its "+
						"state may be outdated",
				)
			}
		}
	}
	return out
}

func yesNo(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

func appliedTone(n int) string {
	switch {
	case n == 1:
		return "ok"
	case n > 1:
		return "bad"
	}
	return ""
}
