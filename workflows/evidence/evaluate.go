package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Evaluate judges a plan's criteria by the latest evidence of each check, and by history
// (newest first, the latest included) for the checks of Plan.Repeated. It is the only
// place where evidence becomes a verdict. Evidence dated after now (a clock that went
// back) is inconclusive, never green.
func Evaluate(
	now time.Time,
	p migration.Plan,
	latest map[string]migration.Evidence,
	history map[string][]migration.Evidence,
) migration.Checklist {
	e := evaluation{
		now:     now,
		plan:    p,
		latest:  latest,
		history: history,
		settled: map[string]bool{},
	}
	// A requirement may stop ageing when another criterion is met, so those are judged
	// first; they must not wait on each other.
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			if r.Until == "" || e.settled[r.Until] {
				continue
			}
			for _, u := range p.Criteria {
				if u.ID == r.Until && e.judge(u).Verdict == migration.Met {
					e.settled[u.ID] = true
				}
			}
		}
	}
	out := make(migration.Checklist, 0, len(p.Criteria))
	for _, c := range p.Criteria {
		out = append(out, e.judge(c))
	}
	return out
}

// evaluation is what one call of Evaluate knows.
type evaluation struct {
	now     time.Time
	plan    migration.Plan
	latest  map[string]migration.Evidence
	history map[string][]migration.Evidence
	settled map[string]bool // criteria that are met, so that what waits for them ages no more
}

// severity orders verdicts from worst to best: a measured failure is said before a
// missing or old measurement.
var severity = map[migration.Verdict]int{
	migration.Unmet:   0,
	migration.Unknown: 1,
	migration.Stale:   2,
	migration.Met:     3,
}

// judge judges one criterion: it is as bad as its worst requirement.
func (e evaluation) judge(c migration.Criterion) migration.Item {
	item := migration.Item{Criterion: c, Verdict: migration.Met}
	var why []string
	for _, r := range c.Requires {
		check, _ := Of(r.Check)
		f := e.find(check, r)
		if r.MinCount > 1 {
			f = e.repeated(check, r, f)
		}
		if f.Evidence == nil && !check.Outside {
			f.Next = firstStep(e.plan, c.ID, f.Next)
		}
		item.Findings = append(item.Findings, f)
		if severity[f.Verdict] < severity[item.Verdict] {
			item.Verdict, item.Next = f.Verdict, f.Next
			why = []string{f.Measured}
		} else if f.Verdict == item.Verdict {
			why = append(why, f.Measured)
		}
	}
	item.Why = strings.Join(why, "; ")
	return item
}

// firstStep names the step that begins to show a criterion.
func firstStep(p migration.Plan, criterion, otherwise string) string {
	for _, s := range p.Steps {
		if slices.Contains(s.Proves, criterion) {
			return "run the step " + s.Title
		}
	}
	return otherwise
}

// find judges one requirement by the latest evidence.
func (e evaluation) find(check Check, r migration.Requirement) migration.Finding {
	f := migration.Finding{
		Check:    r.Check,
		Title:    check.Title,
		Limit:    check.Limit,
		Verdict:  migration.Unmet,
		MaxAge:   r.MaxAge,
		Next:     check.Next,
		Measured: check.Title + ": no evidence yet",
	}
	last, ok := e.latest[r.Check]
	if !ok {
		return f
	}
	last.Proof = check.Basis(last.Proof) // earlier versions stored the app's word as observed
	settled := e.settled[r.Until]
	f.Verdict = migration.Unknown
	f.Evidence, f.Settled = &last, settled
	met, measured, err := check.Judge(last.Facts)
	expiredAgo, expired := check.expired(last.Facts, e.now)
	age := e.now.Sub(last.ObservedAt)
	switch {
	case err != nil:
		f.Measured, f.Next = check.Title+": "+Unread(err), check.Again()
	case !met:
		f.Verdict, f.Measured = migration.Unmet, measured
	case age < -time.Minute:
		f.Measured = fmt.Sprintf("%s: the evidence is dated %s in the future; check the clocks",
			check.Title, migration.Words(-age))
	case r.MaxAge > 0 && age > r.MaxAge && !settled:
		f.Verdict = migration.Stale
		f.Measured = fmt.Sprintf("%s, but that was %s ago (limit %s)",
			measured, migration.Words(age), migration.Words(r.MaxAge))
	case expired && !settled:
		f.Verdict = migration.Stale
		f.Measured = fmt.Sprintf("%s, but a decision in it expired %s ago",
			measured, migration.Words(expiredAgo))
	default:
		f.Verdict, f.Measured, f.Next = migration.Met, measured, ""
	}
	return f
}

// repeated adds to a finding how many observations in a row held. Observations of one run
// count once, and what cannot be judged neither counts nor breaks the row. Too few is
// Unmet: the tests that are missing were never made, or are too long ago.
func (e evaluation) repeated(
	check Check, r migration.Requirement, f migration.Finding,
) migration.Finding {
	f.MinCount = r.MinCount
	f.Limit = fmt.Sprintf("%s, %d times in a row", check.Limit, r.MinCount)
	if r.MaxAge > 0 {
		f.Limit += " within " + migration.Words(r.MaxAge)
	}
	runs := map[string]bool{}
	for _, past := range e.history[r.Check] {
		met, _, err := check.Judge(past.Facts)
		age := e.now.Sub(past.ObservedAt)
		if err != nil || age < -time.Minute {
			continue
		}
		if !met || r.MaxAge > 0 && age > r.MaxAge && !f.Settled {
			break
		}
		if past.RunID != "" && runs[past.RunID] {
			continue
		}
		runs[past.RunID] = true
		f.Count++
	}
	if f.Verdict == migration.Met && f.Count < r.MinCount {
		f.Verdict, f.Next = migration.Unmet, check.Next
		f.Measured = fmt.Sprintf("%d of %d in a row; latest: %s",
			f.Count, r.MinCount, f.Measured)
	} else if f.Verdict == migration.Met {
		f.Measured = fmt.Sprintf("%d in a row (%d needed); latest: %s",
			f.Count, r.MinCount, f.Measured)
	}
	return f
}
