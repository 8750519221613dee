package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Stay is what one lane saw of one job. Times are unix ms by that server's clock.
type Stay struct {
	// State is that of the last event (waiting, active, delayed, waiting-children)
	// or how the stay ended: completed, failed, removed, gone (without an entry) or
	// released (with its server).
	State   string `json:"state"`
	At      int64  `json:"at"` // of the last event
	AddedAt int64  `json:"added_at,omitempty"`
	Due     int64  `json:"due,omitempty"` // while delayed
	Added   int    `json:"added,omitempty"`
	Active  int    `json:"active,omitempty"` // attempts started
	// completions meant to take effect: all whose outcome does not say otherwise
	Completed int      `json:"completed,omitempty"`
	Ended     Position `json:"ended,omitzero"` // the entry of the last completion
	// completions whose outcome says that nothing was done, see the Outcome
	// constants
	Harmless int `json:"harmless,omitempty"`
	// of those, the ones of a worker whose side was not primary: nothing was done, nor
	// had been before
	Misrouted int `json:"misrouted,omitempty"`
	// moved to failed: final unless somebody retries it
	Failed  int    `json:"failed,omitempty"`
	Retried int    `json:"retried,omitempty"` // attempts after the first
	Stalled int    `json:"stalled,omitempty"`
	Result  string `json:"result,omitempty"`
	// Unsure means that entries were missed while the job was here, so State may be
	// stale.
	Unsure bool `json:"unsure,omitempty"`
	// Missing is the end of the stream at a moment when the server did not hold the
	// job as it should. What the stream says up to there decides.
	Missing *Position `json:"missing,omitempty"`
	Why     string    `json:"why,omitempty"` // why Missing is set
	Was     string    `json:"was,omitempty"` // the state in which it was released
}

func (s *Stay) open() bool {
	if s == nil {
		return false
	}
	switch s.State {
	case "completed", "failed", "removed", gone, "released":
		return false
	}
	return true
}

// Life is everything the streams said about one job: a stay for each lane it was
// in, indexed by Lane.place.
type Life struct {
	Queue string `json:"queue"`
	Job   string `json:"job"`
	// a job with this ID took effect before this life began
	Before bool `json:"before,omitempty"`
	// Partial means that the first entry seen was not an "added", so what came
	// before is unknown, or the job was moved here.
	Partial bool  `json:"partial,omitempty"`
	Began   int64 `json:"began,omitempty"` // unix ms by our clock: the first entry
	// Scheduled means that BullMQ made the job for a scheduler: no order is behind it.
	// Asked means that the server was asked whether it did.
	Scheduled bool     `json:"scheduled,omitempty"`
	Asked     bool     `json:"asked,omitempty"`
	Stays     [4]*Stay `json:"stays"` // source, source shadow, target, target shadow
	saved     bool
}

// Places names the stays of a life, by index.
var Places = [4]string{"source", "source (shadow)", "target", "target (shadow)"}

// Open reports whether any of its stays has not ended.
func (l *Life) Open() bool { return slices.ContainsFunc(l.Stays[:], (*Stay).open) }

// copiesOnly reports whether all open stays are shadow copies. Those may wait
// forever where no worker runs them, and must not keep the rest from being judged.
func (l *Life) copiesOnly() bool { return !l.Stays[0].open() && !l.Stays[2].open() }

// added returns when the job was added, as far as that is known.
func (l *Life) added() (at int64) {
	for _, s := range l.Stays {
		if s != nil && s.AddedAt != 0 && (at == 0 || s.AddedAt < at) {
			at = s.AddedAt
		}
	}
	return at
}

// runs returns how many completions were meant to take effect.
func (l *Life) runs() (n int) {
	for i, s := range l.Stays {
		if s != nil && i%2 == 0 {
			n += s.Completed
		}
	}
	return n
}

// knows reports whether a completion that a lane's history tells of is one that is known: by
// the same entry of another stream, or since the job took effect before this life.
func (l *Life) knows(place int, at Position) bool {
	return l.Before || slices.ContainsFunc([]int{0, 2}, func(i int) bool {
		return i != place && l.Stays[i] != nil && l.Stays[i].Completed > 0 &&
			l.Stays[i].Ended == at
	})
}

// ended reports whether the job was run to an end, other than by a worker whose side was
// not primary.
func (l *Life) ended() bool {
	for i, s := range l.Stays {
		if s != nil && i%2 == 0 && s.Completed+s.Harmless > s.Misrouted {
			return true
		}
	}
	return false
}

// last returns the time of the last event, by our clock: skews says by how much each
// server's is ahead.
func (l *Life) last(skews [4]int64) (at int64) {
	for i, s := range l.Stays {
		if s != nil {
			at = max(at, s.At-skews[i])
		}
	}
	return at
}

// late reports whether an open stay should have ended by now, counted from when the
// job was added or, if it was delayed, from when it was due. It also returns that
// time. All by our clock, see last; Due is the application's.
func (l *Life) late(now, deadline int64, skews [4]int64) (bool, int64) {
	for i, s := range l.Stays {
		if i%2 == 1 || !s.open() {
			continue
		}
		since := max(cmp.Or(s.AddedAt, s.At)-skews[i], s.Due)
		if now-since > deadline {
			return true, since
		}
	}
	return false, 0
}

func (l *Life) where() string {
	out := ""
	for i, s := range l.Stays {
		if s.open() {
			out += fmt.Sprintf("%s on %s; ", s.State, Places[i])
		}
	}
	return cmp.Or(trim(out), "nowhere open")
}

func trim(s string) string { return strings.TrimSuffix(s, "; ") }

func (l *Life) completions() string {
	out := ""
	for i, s := range l.Stays {
		if s != nil && i%2 == 0 && s.Completed > 0 {
			out += fmt.Sprintf("%d on %s; ", s.Completed, Places[i])
		}
	}
	return trim(out)
}

func (l *Life) ends() string {
	out := ""
	for i, s := range l.Stays {
		if s != nil {
			out += fmt.Sprintf("%s on %s; ", s.State, Places[i])
		}
	}
	return trim(out)
}

func (l *Life) results() (real, shadow string, differ bool) {
	for i, s := range l.Stays {
		if s == nil {
			continue
		}
		if i%2 == 1 {
			shadow = cmp.Or(shadow, s.Result)
		} else {
			real = cmp.Or(real, s.Result)
		}
	}
	return real, shadow, real != "" && shadow != "" && real != shadow
}

func (l *Life) copy() Life {
	out := *l
	for i, s := range l.Stays {
		if s != nil {
			c := *s
			out.Stays[i] = &c
		}
	}
	return out
}

// gone is the state of a stay that ended without an entry.
const gone = "gone"

// step advances a stay by an entry.
func (s *Stay) step(e Entry, state string) {
	if e.Event == "stalled" {
		s.Stalled++
		s.At = e.At.MS
		return
	}
	if state == "removed" && !s.open() {
		return // its end was seen already: this only cleans up history
	}
	s.State, s.At, s.Due, s.Unsure = state, e.At.MS, e.Due, false
	s.Missing, s.Why = nil, ""
	switch e.Event {
	case "added":
		s.Added++
		s.AddedAt = cmp.Or(s.AddedAt, e.At.MS)
	case "active":
		if s.Active > 0 {
			s.Retried++
		}
		s.Active++
	case "completed":
		s.Ended = e.At
		switch e.Outcome {
		case OutcomeSuppressed, OutcomeCompared, OutcomeMisrouted, OutcomeCanary:
			s.Harmless++
			if e.Outcome == OutcomeMisrouted {
				s.Misrouted++
			}
		default:
			s.Completed++
		}
		s.Result = cmp.Or(s.Result, e.Result)
	case "failed":
		s.Failed++
	}
}
