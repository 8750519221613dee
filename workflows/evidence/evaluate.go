package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Basis is all that verdicts rest on, at one moment.
type Basis struct {
	At time.Time
	// Latest is the newest evidence of each check.
	Latest map[string]migration.Evidence
	// History is the evidence of the checks of Plan.Repeated, the newest first, the latest
	// included.
	History map[string][]migration.Evidence
	// World is what is there now: evidence about something else is void.
	World migration.World
	// Complete: the queue is at complete, and no order is enqueued on the source.
	Complete bool
	// Undone are the runs that were undone or rolled back, by id.
	Undone map[string]bool
	// Waivers are those of people about who is unknown.
	Waivers []migration.Waiver
}

// Evaluate judges a plan's criteria. It and Find are the only places where evidence becomes a
// verdict. Evidence dated after now (a clock that went back) is inconclusive, never green.
func Evaluate(p migration.Plan, b Basis) migration.Checklist {
	e := evaluation{Basis: b, plan: p, settled: map[string]bool{}}
	awaited := map[string]bool{}
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			awaited[r.Until] = r.Until != ""
		}
	}
	// What waits for a criterion that is met ages no more, so that its own criterion may be met
	// too, for which others wait: whatever the order of the plan.
	for more := true; more; {
		more = false
		for _, c := range p.Criteria {
			if awaited[c.ID] && !e.settled[c.ID] && e.judge(c).Verdict == migration.Met {
				e.settled[c.ID], more = true, true
			}
		}
	}
	out := make(migration.Checklist, 0, len(p.Criteria))
	for _, c := range p.Criteria {
		out = append(out, e.judge(c))
	}
	return out
}

// Find judges one check for which no criterion asks, by its own limit of age.
func Find(id string, b Basis) migration.Finding {
	check, _ := Of(id)
	return evaluation{Basis: b}.find(check,
		migration.Requirement{Check: id, MaxAge: check.MaxAge})
}

// evaluation is what one call of Evaluate knows.
type evaluation struct {
	Basis
	plan    migration.Plan
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
	if len(c.Requires) == 0 {
		item.Verdict = migration.Unknown
		item.Why, item.Next = "no check shows it", "name one in the plan"
		return item
	}
	var why []string
	for _, r := range c.Requires {
		check, known := Of(r.Check)
		f := e.find(check, r)
		if known && r.MinCount > 1 {
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

// find judges one requirement by the latest evidence. The zero check is one that another version
// of Switchyard knows.
func (e evaluation) find(check Check, r migration.Requirement) migration.Finding {
	if check.ID == "" {
		return migration.Finding{Check: r.Check, Title: r.Check, Verdict: migration.Unknown,
			Measured: "this version knows no such check", MaxAge: r.MaxAge,
			Next: "run the version of Switchyard that the plan is from"}
	}
	f := migration.Finding{
		Check:    r.Check,
		Title:    check.Title,
		Limit:    check.Limit,
		Verdict:  migration.Unmet,
		MaxAge:   r.MaxAge,
		Next:     check.Next,
		Measured: check.Title + ": no evidence yet",
	}
	last, ok := e.Latest[r.Check]
	if !ok {
		return f
	}
	last.Proof = check.Basis(last.Proof) // earlier versions stored the app's word as observed
	f.Evidence, f.Settled = &last, e.settled[r.Until] || check.Spent && e.Complete ||
		check.Gone && Find(Off, e.Basis).Verdict == migration.Met
	f.Asked = check.Asked(last.Facts, e.waivers(last, f.Settled), e.At)
	f.Verdict, f.Measured = e.weigh(check, r, last, f.Settled)
	if _, _, err := check.rule(last.Facts); errors.Is(err, errForm) {
		f.Next = check.Again()
	}
	if f.Verdict == migration.Met {
		f.Next = ""
	}
	return f
}

// weigh says what one piece of evidence amounts to now, and why.
func (e evaluation) weigh(
	check Check, r migration.Requirement, ev migration.Evidence, settled bool,
) (migration.Verdict, string) {
	met, measured, err := check.JudgeWaived(ev.Facts, e.waivers(ev, settled), e.At)
	expiredAgo, expired := check.expired(ev.Facts, e.At)
	age := e.At.Sub(ev.ObservedAt)
	switch {
	case err != nil:
		return migration.Unknown, check.Title + ": inconclusive: " + migration.PlainError(err)
	case !met:
		return migration.Unmet, measured
	case age < -time.Minute:
		return migration.Unknown, fmt.Sprintf(
			"%s: the evidence is dated %s in the future; check the clocks", check.Title,
			migration.Words(-age))
	case check.Undone && e.Undone[ev.RunID]:
		return migration.Stale, fmt.Sprintf("%s, but that run was taken back", measured)
	case settled:
		return migration.Met, measured
	case r.MaxAge > 0 && age > r.MaxAge:
		return migration.Stale, fmt.Sprintf("%s, but that was %s ago (limit %s)",
			measured, migration.Words(age), migration.Words(r.MaxAge))
	case expired:
		return migration.Stale, fmt.Sprintf("%s, but a decision in it expired %s ago",
			measured, migration.Words(expiredAgo))
	}
	if verdict, why := ev.Subject.Void(e.World, check.About, e.At); verdict != migration.Met {
		return verdict, measured + "; " + why
	}
	return migration.Met, measured
}

// waivers are those by which evidence is judged. What is settled keeps those that were in force
// after it was gathered: it is done, and their end does not undo it.
func (e evaluation) waivers(ev migration.Evidence, settled bool) []migration.Waiver {
	if !settled {
		return e.Waivers
	}
	out := slices.Clone(e.Waivers)
	for i, w := range out {
		if w.Until.After(ev.ObservedAt) {
			out[i] = w.Standing()
		}
	}
	return out
}

// repeated adds to a finding how many observations in a row held. Observations of one run
// count once, and what cannot be judged neither counts nor breaks the row. Too few is
// Unmet: the tests that are missing were never made, are too long ago, or were of another
// subject.
func (e evaluation) repeated(
	check Check, r migration.Requirement, f migration.Finding,
) migration.Finding {
	f.MinCount = r.MinCount
	f.Limit = fmt.Sprintf("%s, %d times in a row", check.Limit, r.MinCount)
	if r.MaxAge > 0 {
		f.Limit += " within " + migration.Words(r.MaxAge)
	}
	runs := map[string]bool{}
	for _, past := range e.History[r.Check] {
		verdict, _ := e.weigh(check, r, past, f.Settled)
		if verdict == migration.Unknown {
			continue
		}
		if verdict != migration.Met {
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
