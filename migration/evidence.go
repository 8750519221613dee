package migration

import (
	"encoding/json"
	"slices"
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
	Check string `json:"check"` // id of the check that judges it
	Proof Proof  `json:"proof"`
	// Facts are what was measured, in the form of its check: any JSON value.
	Facts json.RawMessage `json:"facts"`
	// how it was measured, in a word or command
	Source string `json:"source"`
	// the run that gathered it; empty: the monitor
	RunID string `json:"run_id,omitempty"`
	// Subject is what it is about. It is void when that changes.
	Subject    Subject   `json:"subject,omitempty"`
	ObservedAt time.Time `json:"observed_at"`
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
	// Stale: it held, but the evidence is older than its limit, or what it is about has changed.
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
	// Count is how many observations in a row held, of the MinCount that are wanted; both 0
	// where one is enough.
	Count int `json:"count,omitempty"`
	// MinCount is how many are wanted.
	MinCount int `json:"min_count,omitempty"`
	// Asked is whom it covers.
	Asked Coverage `json:"asked,omitzero"`
	// Settled: what it was needed for is done, so that neither age nor a change voids it.
	//
	// That is so once the criterion in Requirement.Until is met, and of what decided a cutover
	// for as long as that is complete.
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

// Unstarted reports whether the item is not met because nothing was measured for it yet.
func (i Item) Unstarted() bool {
	return i.Verdict == Unmet && !slices.ContainsFunc(i.Findings,
		func(f Finding) bool { return f.Evidence != nil })
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

// Of gives the first criterion that requires a check; nil: none does.
func (c Checklist) Of(check string) *Item {
	for n := range c {
		if slices.ContainsFunc(c[n].Criterion.Requires,
			func(r Requirement) bool { return r.Check == check }) {
			return &c[n]
		}
	}
	return nil
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
