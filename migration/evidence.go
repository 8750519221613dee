package migration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Proof says how well a piece of evidence is known.
type Proof string

const (
	// Observed: Switchyard measured it itself.
	Observed Proof = "observed"
	// Attested: the running application says so of itself.
	Attested Proof = "attested"
	// Documented: a vendor's documentation says so; nobody measured it here.
	Documented Proof = "documented"
)

// Evidence is one measured fact at one time. It is append-only and holds no verdict.
//
// What it means is computed by Evaluate, so that a better rule judges old facts too.
type Evidence struct {
	ID    int64  `json:"id"`
	Check string `json:"check"` // which entry of Checks judges it
	Proof Proof  `json:"proof"`
	// Facts are what was measured, in the form of its check: any JSON value.
	Facts      json.RawMessage `json:"facts"`
	Source     string          `json:"source"`           // how it was measured, in a word or command
	RunID      string          `json:"run_id,omitempty"` // the run that gathered it; empty: the monitor
	ObservedAt time.Time       `json:"observed_at"`
}

// Verdict is what evidence amounts to. Only Met counts.
//
// The zero value is Unknown.
type Verdict string

const (
	// Met: fresh evidence shows that it holds.
	Met Verdict = "met"
	// Unmet: evidence shows that it does not hold, or nothing was ever measured.
	Unmet Verdict = "unmet"
	// Stale: it held, but the evidence is older than its limit.
	Stale Verdict = "stale"
	// Unknown: the evidence is inconclusive or cannot be read.
	Unknown Verdict = "unknown"
)

// Finding is one requirement judged.
type Finding struct {
	Check    string        `json:"check"`
	Title    string        `json:"title"`
	Verdict  Verdict       `json:"verdict"`
	Measured string        `json:"measured"`
	Limit    string        `json:"limit"`
	Next     string        `json:"next,omitempty"`
	MaxAge   time.Duration `json:"max_age"`
	Evidence *Evidence     `json:"evidence,omitempty"`
	// Count is how many observations in a row held, of the MinCount that are wanted; both 0 where one is enough.
	Count int `json:"count,omitempty"`
	// MinCount is how many are wanted.
	MinCount int `json:"min_count,omitempty"`
	// Settled: its subject is gone, so the evidence does not age any more.
	//
	// That is so once the criterion in Requirement.Until is met.
	Settled bool `json:"settled,omitempty"`
}

// Item is one criterion judged.
type Item struct {
	Criterion Criterion `json:"criterion"`
	Verdict   Verdict   `json:"verdict"`
	Why       string    `json:"why"` // the deciding finding, in words
	Next      string    `json:"next,omitempty"`
	Findings  []Finding `json:"findings" nullable:"true"`
}

// ObservedAt is the oldest observation that the item's verdict rests on; zero when there is none.
func (i Item) ObservedAt() time.Time {
	var t time.Time
	for _, f := range i.Findings {
		if f.Evidence != nil && (t.IsZero() || f.Evidence.ObservedAt.Before(t)) {
			t = f.Evidence.ObservedAt
		}
	}
	return t
}

// Proof is the weakest level of proof behind the item; empty when there is no evidence.
func (i Item) Proof() Proof {
	rank := map[Proof]int{Observed: 3, Attested: 2, Documented: 1}
	var p Proof
	for _, f := range i.Findings {
		if f.Evidence != nil && (p == "" || rank[f.Evidence.Proof] < rank[p]) {
			p = f.Evidence.Proof
		}
	}
	return p
}

// Checklist is every criterion judged.
type Checklist []Item

// Verdict gives one criterion's verdict; Unknown for an id that the plan lacks.
func (c Checklist) Verdict(id string) Verdict {
	for _, i := range c {
		if i.Criterion.ID == id {
			return i.Verdict
		}
	}
	return Unknown
}

// MetCount is how many criteria are met.
func (c Checklist) MetCount() int {
	n := 0
	for _, i := range c {
		if i.Verdict == Met {
			n++
		}
	}
	return n
}

// Evaluate judges a plan's criteria by the latest evidence of each check, and by history (newest first, the latest included) for the
// checks of Plan.Repeated. It is the only place where evidence becomes a verdict. Evidence dated after now (a clock that went back) is
// inconclusive, never green.
func Evaluate(now time.Time, p Plan, latest map[string]Evidence, history map[string][]Evidence) Checklist {
	settled := map[string]bool{}
	judge := func(c Criterion) Item { return evaluate(now, p, c, latest, history, settled) }
	// A requirement may stop ageing when another criterion is met, so those are judged first; they must not wait on each other.
	for _, c := range p.Criteria {
		for _, r := range c.Requires {
			if r.Until == "" || settled[r.Until] {
				continue
			}
			for _, u := range p.Criteria {
				if u.ID == r.Until && judge(u).Verdict == Met {
					settled[u.ID] = true
				}
			}
		}
	}
	out := make(Checklist, 0, len(p.Criteria))
	for _, c := range p.Criteria {
		out = append(out, judge(c))
	}
	return out
}

// severity orders verdicts from worst to best: a measured failure is said before a missing or old measurement.
var severity = map[Verdict]int{Unmet: 0, Unknown: 1, Stale: 2, Met: 3}

func evaluate(now time.Time, p Plan, c Criterion, latest map[string]Evidence, history map[string][]Evidence, settled map[string]bool) Item {
	item := Item{Criterion: c, Verdict: Met}
	var why []string
	for _, r := range c.Requires {
		f := find(now, r, latest, settled[r.Until])
		if r.MinCount > 1 {
			f = repeated(now, r, f, history[r.Check])
		}
		if f.Evidence == nil && !outside[r.Check] {
			f.Next = firstStep(p, c.ID, f.Next)
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
func firstStep(p Plan, criterion, otherwise string) string {
	for _, s := range p.Steps {
		if slices.Contains(s.Proves, criterion) {
			return "run the step " + s.Title
		}
	}
	return otherwise
}

// Words gives a duration for people, in its largest fitting unit: "40 s", "15 min", "3 h", "30 d".
func Words(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

func find(now time.Time, r Requirement, latest map[string]Evidence, settled bool) Finding {
	check := checks[r.Check]
	f := Finding{Check: r.Check, Title: check.Title, Limit: check.Limit, Verdict: Unmet, MaxAge: r.MaxAge, Next: check.Next,
		Measured: check.Title + ": nothing shows it yet"}
	e, ok := latest[r.Check]
	if !ok {
		return f
	}
	f.Verdict = Unknown
	f.Evidence, f.Settled = &e, settled
	met, measured, err := check.Judge(e.Facts)
	expiredAgo, isExpired := expired(r.Check, e.Facts, now)
	age := now.Sub(e.ObservedAt)
	switch {
	case err != nil:
		f.Measured = check.Title + ": the evidence cannot be read: " + err.Error()
	case !met:
		f.Verdict, f.Measured = Unmet, measured
	case age < -time.Minute:
		f.Measured = fmt.Sprintf("%s: the evidence is dated %s in the future; check the clocks", check.Title, Words(-age))
	case r.MaxAge > 0 && age > r.MaxAge && !settled:
		f.Verdict = Stale
		f.Measured = fmt.Sprintf("%s, but that was %s ago (limit %s)", measured, Words(age), Words(r.MaxAge))
	case isExpired && !settled:
		f.Verdict, f.Measured = Stale, fmt.Sprintf("%s, but a decision in it expired %s ago", measured, Words(expiredAgo))
	default:
		f.Verdict, f.Measured, f.Next = Met, measured, ""
	}
	return f
}

// repeated adds to a finding how many observations in a row held. Observations of one run count once, and what cannot be judged neither
// counts nor breaks the row. Too few is Unmet: the tests that are missing were never made, or are too long ago.
func repeated(now time.Time, r Requirement, f Finding, history []Evidence) Finding {
	f.MinCount = r.MinCount
	check := checks[r.Check]
	f.Limit = fmt.Sprintf("%s, %d times in a row", check.Limit, r.MinCount)
	if r.MaxAge > 0 {
		f.Limit += " within " + Words(r.MaxAge)
	}
	runs := map[string]bool{}
	for _, e := range history {
		met, _, err := check.Judge(e.Facts)
		age := now.Sub(e.ObservedAt)
		if err != nil || age < -time.Minute {
			continue
		}
		if !met || r.MaxAge > 0 && age > r.MaxAge && !f.Settled {
			break
		}
		if e.RunID != "" && runs[e.RunID] {
			continue
		}
		runs[e.RunID] = true
		f.Count++
	}
	if f.Verdict == Met && f.Count < r.MinCount {
		f.Verdict, f.Next = Unmet, check.Next
		f.Measured = fmt.Sprintf("%d of %d in a row; the last: %s", f.Count, r.MinCount, f.Measured)
	} else if f.Verdict == Met {
		f.Measured = fmt.Sprintf("%d in a row (%d needed); the last: %s", f.Count, r.MinCount, f.Measured)
	}
	return f
}
