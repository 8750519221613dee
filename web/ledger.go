package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Ledger is the page of the order ledger.
type Ledger struct {
	MigrationID string
	Overview    workflows.LedgerOverview
	Filter      workflows.LedgerFilter
	Exceptions  []ledger.Exception // of this page
	Total       int64              // with this filter
	Now         time.Time
}

// LedgerOrder is the page of one order's whole life.
type LedgerOrder struct {
	MigrationID string
	ID          string
	Order       workflows.LedgerOrder
	Unknown     string // why nothing is known; empty when something is
	Now         time.Time
}

func ledgerStatus(verdict string) status {
	switch verdict {
	case workflows.LedgerClean:
		return status{"ok", "circle-check", "Clean"}
	case workflows.LedgerBroken:
		return status{"bad", "octagon-x", "Broken"}
	}
	return status{"stale", "circle-help", "Inconclusive"}
}

// ledgerAlert is what the overview warns of; an empty text is nothing.
func ledgerAlert(o workflows.LedgerOverview) (s status, text string) {
	s = ledgerStatus(o.Verdict)
	if late := o.Late(); o.Verdict == workflows.LedgerClean {
		if late == 0 {
			return s, ""
		}
		return status{"warn", "clock", "Late"}, lateWords(late)
	} else if late > 0 {
		text = lateWords(late) + "; "
	}
	text += strings.Join(o.Reasons[:min(2, len(o.Reasons))], "; ")
	if n := len(o.Reasons) - 2; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return s, text
}

func lateWords(n int64) string {
	if n == 1 {
		return "1 order is over its deadline"
	}
	return number(n) + " orders are over their deadline"
}

func exceptionStatus(e ledger.Exception) status {
	s := status{"bad", "octagon-x", title(string(e.Verdict))}
	switch e.Verdict {
	case ledger.Stray, ledger.Ghost:
		s = status{"warn", "triangle-alert", s.word}
	case ledger.Late:
		s = status{"warn", "clock", s.word}
	}
	if e.SettledBy != "" {
		s.tone = "past"
	}
	return s
}

func laneStatus(l workflows.LedgerLane) status {
	switch {
	case l.Current:
		return status{"ok", "circle-check", "Current"}
	case l.Error != "":
		return status{"bad", "octagon-x", "Not readable"}
	}
	return status{"stale", "wifi-off", "Not current"}
}

func laneFacts(l workflows.LedgerLane) []migration.Fact {
	var f list
	if l.At == 0 {
		f.add("Read to", true, "not read to its end yet")
	} else {
		f.add("Read to", true, "%s, entry %s", stamp(time.UnixMilli(l.At)), l.Upto)
		f.add("Lag", true, "%s", migration.Words(time.Duration(l.LagMS)*time.Millisecond))
	}
	f.add("Open jobs", true, "%s", number(l.Open))
	f.add("Folded jobs", true, "%s", number(l.Closed))
	f.add("Entries", true, "%s, of them %s adds", number(l.Entries), number(l.Adds))
	f.add("Retries", l.Retries > 0, "%s", number(l.Retries))
	return f
}

func laneName(at ledger.Lane) string {
	if at.Shadow {
		return at.Queue + " (shadow)"
	}
	return at.Queue
}

// lanesOf gives a side's lanes.
func lanesOf(o workflows.LedgerOverview, side string) (out []workflows.LedgerLane) {
	for _, l := range o.Lanes {
		if l.Lane.Side == side {
			out = append(out, l)
		}
	}
	return out
}

// stripMinutes is how many minutes a lane's strip shows.
const stripMinutes = 60

// strip gives the last hour's minutes of a lane, the oldest first. A minute that is not recorded has no state.
func strip(o workflows.LedgerOverview, at ledger.Lane) []ledger.Window {
	const minute = int64(time.Minute / time.Millisecond)
	first := o.At.UnixMilli()/minute - stripMinutes + 1
	out := make([]ledger.Window, stripMinutes)
	for i := range out {
		out[i] = ledger.Window{Lane: at, From: (first + int64(i)) * minute}
	}
	for _, w := range o.Windows {
		if i := w.From/minute - first; w.Lane == at && i >= 0 && i < stripMinutes {
			out[i] = w
		}
	}
	return out
}

// stripWords says in text what a strip shows.
func stripWords(ws []ledger.Window) string {
	n := map[string]int{}
	for _, w := range ws {
		n[w.State]++
	}
	return fmt.Sprintf("last hour: %d minutes conclusive, %d inconclusive, %d running, %d not followed", n[ledger.Conclusive], n[ledger.Inconclusive], n[ledger.Running], n[""])
}

func stripClass(w ledger.Window) string {
	if w.State == "" {
		return "none"
	}
	return w.State
}

// doubtful are the minutes that prove nothing, the newest first.
func doubtful(ws []ledger.Window) (out []ledger.Window) {
	for _, w := range slices.Backward(ws) {
		if w.State == ledger.Inconclusive {
			out = append(out, w)
		}
	}
	return out
}

func hourMinute(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04 UTC") }

// OrderURL is the address of an order's page. Browsers take "." and ".." in a path as directions, so those ids go with the query.
func OrderURL(mid, id string) string {
	if id == "" || id == "." || id == ".." {
		return migrationURL(mid, "ledger") + "?" + url.Values{"id": {id}}.Encode()
	}
	return migrationURL(mid, "ledger", id)
}

// LedgerPage is how many exceptions a page of the ledger shows.
const LedgerPage = 50

func ledgerURL(mid, verdict, state string, offset int) string {
	q := url.Values{}
	for k, v := range map[string]string{"verdict": verdict, "state": state} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if offset > 0 {
		q.Set("offset", strconv.Itoa(offset))
	}
	if len(q) == 0 {
		return migrationURL(mid, "ledger")
	}
	return migrationURL(mid, "ledger") + "?" + q.Encode()
}

// moment is one line of an order's life.
type moment struct {
	at   int64 // unix ms
	who  string
	side string // source, target or ""
	what string
}

// timeline puts everything that is known of an order in the order of time. The clocks are the application's, each server's and our own.
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
					out = append(out, moment{at: at, who: title(ledger.Places[i]), side: strings.Fields(ledger.Places[i])[0], what: what})
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
				add(s.Missing.MS, "looked for on the server: "+s.Why)
			}
		}
	}
	for _, e := range o.Exceptions {
		out = append(out, moment{at: e.At, who: "Ledger", what: string(e.Verdict) + ": " + e.Detail})
		if e.SettledBy != "" {
			out = append(out, moment{at: e.SettledAt, who: "Ledger", what: string(e.Verdict) + " settled by " + e.SettledBy})
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
	add(s.Completed, "completion that took effect", "completions that took effect")
	add(s.Harmless, "completion without effect", "completions without effect")
	if s.Result != "" {
		parts = append(parts, "result "+short(s.Result))
	}
	return strings.Join(parts, ", ")
}

// orderStatus is of an order without exceptions: only what is known whole may look good.
func orderStatus(o workflows.LedgerOrder) status {
	open := slices.ContainsFunc(o.Lives, func(l ledger.Life) bool { return l.Open() })
	switch j := o.Journal; {
	case j != nil && (j.Applied > 1 || j.Different != ""):
		return status{"bad", "octagon-x", "The application's record shows harm"}
	case open || j != nil && j.Applied == 0:
		return status{"run", "loader", "Under way, nothing found wrong so far"}
	case len(unknowns(o)) > 0:
		return status{"stale", "circle-help", "Nothing was found wrong, but not everything is known"}
	}
	return status{"ok", "circle-check", "Nothing is wrong with it"}
}

// unknowns say what is not known of an order, and why.
func unknowns(o workflows.LedgerOrder) (out []string) {
	if o.Note != "" {
		out = append(out, o.Note)
	}
	switch {
	case o.Journal == nil:
		out = append(out, "the application's journal has no record of it: what was promised to the payment provider is not known")
	case o.Journal.Folded:
		out = append(out, "it was in order long ago: of what the application recorded only the minute is kept")
	}
	if o.Done && len(o.Lives) == 0 {
		out = append(out, "the streams said before that it took effect; what happened on the way was folded")
	}
	if !o.Done && len(o.Lives) == 0 {
		out = append(out, "no stream tells of it: its job was not seen, or it ended before the streams were followed")
	}
	for _, life := range o.Lives {
		if life.Partial {
			out = append(out, "it was met without its beginning: it was added before the streams were followed, or was moved here")
		}
		if life.Before {
			out = append(out, "a job of this id took effect before this life began")
		}
		for i, s := range life.Stays {
			if s != nil && s.Unsure {
				out = append(out, "entries of "+ledger.Places[i]+" were missed while it was there: its state may be old")
			}
		}
	}
	return out
}
