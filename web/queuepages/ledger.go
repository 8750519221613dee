package queuepages

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
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

func ledgerStatus(verdict string) ui.Status {
	switch verdict {
	case workflows.LedgerClean:
		return ui.OK("Clean")
	case workflows.LedgerBroken:
		return ui.Bad("Broken")
	}
	return ui.Stale("Inconclusive").As("circle-help")
}

// ledgerAlert is what the overview warns of; an empty text is nothing.
func ledgerAlert(o workflows.LedgerOverview) (s ui.Status, text string) {
	s = ledgerStatus(o.Verdict)
	if late := o.Late(); o.Verdict == workflows.LedgerClean {
		if late == 0 {
			return s, ""
		}
		return ui.Warn("Late").As("clock"), lateWords(late)
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
		return "1 order is overdue"
	}
	return ui.Number(n) + " orders are overdue"
}

func exceptionStatus(e ledger.Exception) ui.Status {
	s := ui.Bad(ui.Title(verdictWord(e.Verdict)))
	switch e.Verdict {
	case ledger.Stray, ledger.Ghost:
		s = ui.Warn(s.Word)
	case ledger.Late:
		s = ui.Warn(s.Word).As("clock")
	}
	if e.SettledBy != "" {
		s.Tone = "past"
	}
	return s
}

// verdictWords names each verdict for people; the ids are for programs.
var verdictWords = map[ledger.Verdict]string{
	ledger.Loss:     "lost",
	ledger.Double:   "duplicate",
	ledger.Mismatch: "mismatch",
	ledger.Stray:    "wrong side",
	ledger.Ghost:    "no matching order",
	ledger.Late:     "overdue",
}

// verdictMeaning says in a line what each verdict is about.
var verdictMeaning = map[ledger.Verdict]string{
	ledger.Loss:     "Acknowledged, but did not take effect within the deadline",
	ledger.Double:   "Took effect more than once",
	ledger.Mismatch: "Different results or data on the two sides, or data other than was sent",
	ledger.Stray:    "Added on a side that the application did not send it to",
	ledger.Ghost:    "Ran, although the application has no record of it",
	ledger.Late:     "Not finished within its deadline",
}

func verdictWord(v ledger.Verdict) string {
	if w, ok := verdictWords[v]; ok {
		return w
	}
	return string(v)
}

func laneStatus(l workflows.LedgerLane) ui.Status {
	switch {
	case l.Current:
		return ui.OK("Up to date")
	case l.Error != "":
		return ui.Bad("Not readable")
	}
	return ui.Stale("Not up to date")
}

// newestExceptions is how many exceptions a phone shows at once; open ones it always shows.
const newestExceptions = 3

func laterException(n int, e ledger.Exception) bool {
	return n >= newestExceptions && e.SettledBy != ""
}

func moreExceptions(es []ledger.Exception) bool {
	for n, e := range es {
		if laterException(n, e) {
			return true
		}
	}
	return false
}

func laneFacts(l workflows.LedgerLane) []migration.Fact {
	var f ui.Facts
	if l.At == 0 {
		f.Add("Read to", true, "not read to the end yet")
	} else {
		f.Add("Read to", true, "%s, entry %s", ui.Stamp(time.UnixMilli(l.At)), l.Upto)
		f.Add("Lag", true, "%s", migration.Words(time.Duration(l.LagMS)*time.Millisecond))
	}
	f.Add("Open jobs", true, "%s", ui.Number(l.Open))
	f.Add("Completed jobs counted", true, "%s", ui.Number(l.Closed))
	f.Add("Entries", true, "%s, of which %s adds", ui.Number(l.Entries), ui.Number(l.Adds))
	f.Add("Retries", l.Retries > 0, "%s", ui.Number(l.Retries))
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

// strip gives the last hour's minutes of a lane, the oldest first. A minute that is not
// recorded has no state.
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
	return fmt.Sprintf(
		"last hour: %d min verified, %d min incomplete, %d min not yet verified, %d min before "+
			"tracking started",
		n[ledger.Conclusive],
		n[ledger.Inconclusive],
		n[ledger.Running],
		n[""],
	)
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
		return ui.URL(mid, "ledger")
	}
	return ui.URL(mid, "ledger") + "?" + q.Encode()
}
