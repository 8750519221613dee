package migration

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Member is one of those for whom a claim is made: a worker, a server, a queue, an order.
type Member struct {
	// Key names it wholly, so that a waiver for it is for nothing else: its kind, and
	// whatever tells it from every other, such as "worker:ingestion/web-2".
	Key  string `json:"key"`
	Name string `json:"name"` // for people
	// Verdict is Met when it answered and the claim holds for it, Unmet when it does not, and
	// Unknown, the zero value too, when it could not be asked or did not say.
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"` // what it answered, or why it is unknown
	// Waiver is a person's, to go on although it is unknown; nil: nobody's.
	Waiver *Waiver `json:"waiver,omitempty"`
}

// unknown reports whether nothing is known of the member and nobody waived it.
func (m Member) unknown() bool {
	return m.Verdict != Met && m.Verdict != Unmet && m.Waiver == nil
}

// Coverage is whom a claim covers: everybody who had to be asked, how they were found, and
// what each answered. The zero value covers nobody, which proves nothing.
type Coverage struct {
	// Of is what one member is, such as "worker".
	Of string `json:"of"`
	// Found says how the members were discovered, such as "CLIENT LIST of both servers". It is
	// never who answered.
	Found   string   `json:"found"`
	Members []Member `json:"members" nullable:"true"`
	// Least is how many members must be met. With 0 there must be one at least, and a waiver is
	// enough for it.
	Least int `json:"least,omitempty"`
	// Since and Until are the window of which they were asked, by Switchyard's clock; zero for
	// a look at one moment.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// One covers a single member, such as the database that a gate looks at.
func One(of, key string, holds Verdict, why string) Coverage {
	return Coverage{Of: of, Found: "the configuration", Members: []Member{
		{Key: of + ":" + key, Name: key, Verdict: holds, Why: why},
	}}
}

// Truth is Met or Unmet, for a claim that is known to hold or not.
func Truth(holds bool) Verdict {
	if holds {
		return Met
	}
	return Unmet
}

// Verdict is as bad as the worst member: Unmet when one is, Unknown when one is and nobody
// waived it, when fewer than Least are met, or when there is none.
func (c Coverage) Verdict() Verdict {
	met := 0
	unknown := false
	for _, m := range c.Members {
		switch {
		case m.Verdict == Unmet:
			return Unmet
		case m.Verdict == Met:
			met++
		case m.unknown():
			unknown = true
		}
	}
	if unknown || len(c.Members) == 0 || met < c.Least {
		return Unknown
	}
	return Met
}

// Unknown are the members of whom nothing is known and whom nobody waived.
func (c Coverage) Unknown() []Member {
	var out []Member
	for _, m := range c.Members {
		if m.unknown() {
			out = append(out, m)
		}
	}
	return out
}

// Waive gives the coverage with those waivers that count at a time. A waiver speaks for
// a member that is unknown, never against what is known.
func (c Coverage) Waive(waivers []Waiver, now time.Time) Coverage {
	c.Members = slices.Clone(c.Members)
	for i, m := range c.Members {
		if m.Verdict == Met || m.Verdict == Unmet {
			continue
		}
		c.Members[i].Waiver = nil
		for _, d := range waivers {
			if d.Member == m.Key && d.Counts(now) {
				c.Members[i].Waiver = &d
			}
		}
	}
	return c
}

// named is how many members a text names of those that are not met.
const named = 3

// String says it for people: how many answered, who does not hold, who is unknown and why.
func (c Coverage) String() string {
	if len(c.Members) == 0 {
		return "no " + c.Of + " was found (" + c.Found + ")"
	}
	var met int
	var bad, unknown, waived []string
	for _, m := range c.Members {
		text := m.Name
		if m.Why != "" {
			text += " (" + m.Why + ")"
		}
		switch {
		case m.Verdict == Met:
			met++
		case m.Verdict == Unmet:
			bad = append(bad, text)
		case m.Waiver != nil:
			waived = append(waived, fmt.Sprintf("%s by %s until %s", m.Name, m.Waiver.By,
				m.Waiver.Until.UTC().Format("2006-01-02 15:04 MST")))
		default:
			unknown = append(unknown, text)
		}
	}
	out := fmt.Sprintf("%d of %s", met, Count(len(c.Members), c.Of))
	for _, part := range []struct {
		what string
		who  []string
	}{{"not", bad}, {"unknown", unknown}, {"waived", waived}} {
		if len(part.who) == 0 {
			continue
		}
		out += "; " + part.what + ": " + strings.Join(part.who[:min(named, len(part.who))], ", ")
		if more := len(part.who) - named; more > 0 {
			out += fmt.Sprintf(" and %d more", more)
		}
	}
	if met < c.Least {
		out += fmt.Sprintf("; at least %d needed", c.Least)
	}
	return out
}

// Waiver is a person's decision, in writing, to go on although something is unknown, or to take a
// red order as dealt with. It counts until it expires or is taken back.
type Waiver struct {
	ID int64 `json:"id"`
	// Member is the Member.Key that it is about.
	Member string `json:"member"`
	// By is the account that was signed in; nobody else can sign in its name.
	By        string     `json:"by"`
	Why       string     `json:"why"`
	At        time.Time  `json:"at"`
	Until     time.Time  `json:"until"`
	RevokedBy string     `json:"revoked_by,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`

	stands bool
}

// Standing gives the waiver of something that is done: its end ends nothing any more. Whoever
// signed it may still revoke it.
func (w Waiver) Standing() Waiver {
	w.stands = true
	return w
}

// Bounds of a waiver.
const (
	// MaxWaiver is how long a waiver may count: what nobody looks at again is no decision.
	MaxWaiver = 30 * 24 * time.Hour
	// MinReason is how many characters the reason of a waiver has at least.
	MinReason = 10
)

// Counts reports whether the waiver counts at a time.
func (w Waiver) Counts(now time.Time) bool {
	return w.RevokedAt == nil && !w.At.After(now.Add(time.Minute)) &&
		(w.stands || now.Before(w.Until))
}

// Check reports what is wrong with a waiver that somebody wants to sign now.
func (w Waiver) Check(now time.Time) error {
	switch {
	case !strings.Contains(w.Member, ":"):
		return Errorf(Invalid, "a waiver names its member by its key, such as "+
			"worker:ingestion/web-2: got %.80q", w.Member)
	case len(strings.TrimSpace(w.Why)) < MinReason:
		return Errorf(Invalid, "a waiver needs a reason of at least %d characters: got %d",
			MinReason, len(strings.TrimSpace(w.Why)))
	case !w.Until.After(now):
		return Errorf(Invalid, "a waiver counts until a time to come: got %s",
			w.Until.UTC().Format(time.RFC3339))
	case w.Until.Sub(now) > MaxWaiver:
		return Errorf(Invalid, "a waiver counts for at most %s: got %s", Words(MaxWaiver),
			Words(w.Until.Sub(now).Round(time.Hour)))
	}
	return nil
}
