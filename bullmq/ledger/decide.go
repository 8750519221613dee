package ledger

import (
	"errors"
	"fmt"
	"strings"
)

// Ruling is what a person took upon themselves where nothing proves that no order was
// harmed.
type Ruling struct {
	Who string `json:"who"`
	Why string `json:"why"`
	At  int64  `json:"at"` // unix ms
}

var (
	// ErrNotOpen is returned for what is not there or is settled already.
	ErrNotOpen = errors.New("nothing of that kind is open")
	// ErrUnsigned is returned for a decision that does not say who took it, why and when.
	ErrUnsigned = errors.New("a decision needs a name, a reason and a time")
)

func (d Ruling) signed() bool {
	return strings.TrimSpace(d.Who) != "" && strings.TrimSpace(d.Why) != "" && d.At > 0
}

// Decide settles an exception by a person's decision. ErrNotOpen unless there is one that
// is not settled; ErrUnsigned.
func (st *Streams) Decide(queue, job string, v Verdict, d Ruling) error {
	if !d.signed() {
		return ErrUnsigned
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	k := exceptionKey{lifeKey{queue, job}, v}
	e := st.exceptions[k]
	if e == nil || e.SettledBy != "" {
		return ErrNotOpen
	}
	e.Decision = &d
	st.settled(d.At, k, fmt.Sprintf("%s decided: %s", d.Who, d.Why))
	return nil
}

// DecideGap settles a gap of a lane, named by its beginning, by a person's decision.
// ErrNotOpen unless there is one that nobody decided on; ErrUnsigned.
func (st *Streams) DecideGap(at Lane, from int64, d Ruling) error {
	if !d.signed() {
		return ErrUnsigned
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	ln := st.lanes[at]
	if ln == nil {
		return ErrNotOpen
	}
	for i := range ln.Gaps {
		if g := &ln.Gaps[i]; g.From == from && g.Decision == nil {
			g.Decision = &d
			st.dirty.Lanes[at] = true
			return nil
		}
	}
	return ErrNotOpen
}

// Open gives the exceptions that nothing settles.
func (st *Streams) Open() (out []Exception) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, e := range st.exceptions {
		if e.SettledBy == "" {
			out = append(out, *e)
		}
	}
	return out
}

// LaneGap is a gap of a lane on which nobody has decided.
type LaneGap struct {
	Lane Lane
	Gap
}

// Gaps gives the gaps of every lane that is read on which nobody has decided.
func (st *Streams) Gaps() (out []LaneGap) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for at, ln := range st.lanes {
		for _, g := range ln.OpenGaps() {
			out = append(out, LaneGap{at, g})
		}
	}
	return out
}
