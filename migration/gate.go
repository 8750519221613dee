package migration

import (
	"cmp"
	"slices"
	"time"
)

// Gate is one precondition: what was measured against which limit, of whom, and what to do
// when it does not hold. A Claim makes one.
type Gate struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// OK: it holds for everybody whom it covers, or a person waived who is unknown.
	OK       bool    `json:"ok"`
	Verdict  Verdict `json:"verdict,omitempty"` // empty with gates of earlier versions
	Measured string  `json:"measured"`
	Limit    string  `json:"limit"`
	Next     string  `json:"next,omitempty"` // what to do, when not OK
	// Asked is whom it covers.
	Asked Coverage `json:"asked,omitzero"`
}

// Claim is what a gate says, before it is known whether it holds.
type Claim struct {
	ID, Title, Limit string
	// Measured is what was measured, for people; empty: what the members answered.
	Measured string
	// Next is what to do when it does not hold.
	Next string
	// Asked is whom the claim covers, and decides whether it holds. Nobody asked: unknown.
	Asked Coverage
}

// Gate judges the claim by those whom it covers.
func (c Claim) Gate() Gate {
	g := Gate{ID: c.ID, Title: c.Title, Limit: c.Limit, Measured: c.Measured, Next: c.Next,
		Asked: c.Asked}
	if g.Measured == "" {
		g.Measured = c.Asked.String()
	}
	return g.judged(c.Next)
}

// About judges a claim about one thing: of and key name it, such as "server" and its
// address. err says why nobody knows whether the claim holds for it. Asked.Found says how it
// was found, where that is not the configuration.
func (c Claim) About(of, key string, holds bool, err error) Gate {
	verdict, why := Truth(holds), c.Measured
	if err != nil {
		verdict, why = Unknown, err.Error()
		c.Measured = "not known: " + why
	}
	found := c.Asked.Found
	c.Asked = One(of, key, verdict, why)
	c.Asked.Found = cmp.Or(found, c.Asked.Found)
	return c.Gate()
}

func (g Gate) judged(next string) Gate {
	g.Verdict = g.Asked.Verdict()
	g.OK = g.Verdict == Met
	g.Next = next
	if g.OK {
		g.Next = ""
	}
	return g
}

// Waive gives the gate with the waivers of people that count at a time, and with no other: who
// was waived once is unknown again when that waiver counts no more.
func (g Gate) Waive(waivers []Waiver, now time.Time) Gate {
	if g.Verdict != Met && g.Verdict != Unknown {
		return g // measured, or of an earlier version
	}
	asked := g.Asked.Waive(waivers, now)
	if slices.EqualFunc(asked.Members, g.Asked.Members, func(a, b Member) bool {
		return (a.Waiver == nil) == (b.Waiver == nil)
	}) {
		return g
	}
	next := g.Next
	if g.OK {
		next = "a waiver counts no more: make sure of who is unknown, or waive them again"
	}
	g.Asked = asked
	g.Measured = asked.String()
	return g.judged(next)
}

// Failing returns the gates that do not hold.
func Failing(gates []Gate) []Gate {
	var out []Gate
	for _, g := range gates {
		if !g.OK {
			out = append(out, g)
		}
	}
	return out
}
