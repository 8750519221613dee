package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// payload is what one job carried: digests of what was sent, by whether it was a
// shadow copy, and of what workers received; each once.
type payload struct {
	Sent [2][]string `json:"sent"`
	Got  []received  `json:"got,omitempty"`
	// More: workers received other data too, of which nothing is kept.
	More bool `json:"more,omitempty"`
}

type received struct {
	Digest string `json:"digest"`
	Side   string `json:"side,omitempty"`
	Shadow bool   `json:"shadow,omitempty"`
}

// maxPayloads bounds how many different digests of one job are remembered. For a
// job sent with more than that, nobody could tell what ran.
const maxPayloads = 16

// carries notes the digest of an event; "" says nothing.
func (p *payload) carries(e Event) {
	d := e.Digest[:min(len(e.Digest), 64)]
	if d == "" {
		return
	}
	if e.Type == EventEnqueued {
		if l := &p.Sent[copyIndex(e.Shadow)]; !slices.Contains(*l, d) && len(*l) < maxPayloads {
			*l = append(*l, d)
		}
		return
	}
	for _, sent := range p.Sent {
		if same := slices.Index(sent, d); same >= 0 {
			d = sent[same] // share the string
		}
	}
	g := received{d, e.Side, e.Mode == ModeShadow}
	switch {
	case slices.Contains(p.Got, g):
	case len(p.Got) < maxPayloads:
		p.Got = append(p.Got, g)
	default:
		p.More = true
	}
}

func copyIndex(shadow bool) int {
	if shadow {
		return 1
	}
	return 0
}

// differs compares what was sent with what arrived; "" when they agree. A provider may
// deliver an event again with other bytes, of which BullMQ keeps the first, so what a
// worker received has to be any of what was sent. It is checked late, since a fast
// worker's entry may come before the sender's.
func (p *payload) differs() string {
	real, copies := p.Sent[0], p.Sent[1]
	for _, d := range copies {
		if len(real) > 0 && !slices.Contains(real, d) {
			return fmt.Sprintf("the shadow copy was sent with data %s, the order with %s", d,
				strings.Join(real, " or "))
		}
	}
	run, copied := "", ""
	for _, g := range p.Got {
		if len(real)+len(copies) > 0 && !slices.Contains(real, g.Digest) &&
			!slices.Contains(copies, g.Digest) {
			sent := real
			if len(real) == 0 {
				sent = copies
			}
			return fmt.Sprintf("the worker on %s%s got data %s, but %s was sent",
				cmp.Or(g.Side, "an unknown side"), shadowWord(g.Shadow), g.Digest,
				strings.Join(sent, " or "))
		}
		if g.Shadow {
			copied = cmp.Or(copied, g.Digest)
		} else {
			run = cmp.Or(run, g.Digest)
		}
	}
	if p.More {
		return fmt.Sprintf("workers got more than %d different data", maxPayloads)
	}
	if run != "" && copied != "" && run != copied {
		return fmt.Sprintf("the run got data %s, the shadow run %s", run, copied)
	}
	return ""
}
