package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// payload is what one job of an order carried: digests of what was sent, by whether
// it was a shadow copy, and of what workers received; each once.
type payload struct {
	job  string
	sent [2][]string
	got  []received
}

type received struct {
	digest, side string
	shadow       bool
}

// maxPayloads bounds how many different digests of one job are remembered. For a
// job sent with more than that, nobody could tell what ran.
const maxPayloads = 16

// carries notes the digest of an event; "" says nothing.
func (o *order) carries(e Event) {
	d := e.Digest[:min(len(e.Digest), 64)]
	if d == "" {
		return
	}
	i := slices.IndexFunc(o.payloads, func(c payload) bool { return c.job == e.JobID })
	if i < 0 {
		i, o.payloads = len(o.payloads), append(o.payloads, payload{job: e.JobID})
	}
	c := &o.payloads[i]
	if e.Type == EventEnqueued {
		if l := &c.sent[copyIndex(e.Shadow)]; !slices.Contains(*l, d) && len(*l) < maxPayloads {
			*l = append(*l, d)
		}
		return
	}
	for _, sent := range c.sent {
		if same := slices.Index(sent, d); same >= 0 {
			d = sent[same] // share the string
		}
	}
	if g := (received{d, e.Side, e.Mode == ModeShadow}); !slices.Contains(c.got, g) &&
		len(c.got) < maxPayloads {
		c.got = append(c.got, g)
	}
}

func copyIndex(shadow bool) int {
	if shadow {
		return 1
	}
	return 0
}

// differs says which data differ, of one job or, for "", of any; "" when none do or
// no digests are known.
func (o *order) differs(job string) string {
	for _, c := range o.payloads {
		if job != "" && c.job != job {
			continue
		}
		if d := c.differs(); d != "" {
			return d
		}
	}
	return ""
}

// differs compares what was sent with what arrived. A provider may deliver an event
// again with other bytes, of which BullMQ keeps the first, so what a worker
// received has to be any of what was sent. It is checked late, since a fast
// worker's entry may come before the sender's.
func (p *payload) differs() string {
	real, copies := p.sent[0], p.sent[1]
	for _, d := range copies {
		if len(real) > 0 && !slices.Contains(real, d) {
			return fmt.Sprintf("the shadow copy was sent with data %s, the order with %s", d,
				strings.Join(real, " or "))
		}
	}
	run, copied := "", ""
	for _, g := range p.got {
		if len(real)+len(copies) > 0 && !slices.Contains(real, g.digest) &&
			!slices.Contains(copies, g.digest) {
			sent := real
			if len(sent) == 0 {
				sent = copies
			}
			return fmt.Sprintf("the worker on %s%s got data %s, but %s was sent",
				cmp.Or(g.side, "an unknown side"), shadowWord(g.shadow), g.digest,
				strings.Join(sent, " or "))
		}
		if g.shadow {
			copied = cmp.Or(copied, g.digest)
		} else {
			run = cmp.Or(run, g.digest)
		}
	}
	if run != "" && copied != "" && run != copied {
		return fmt.Sprintf("the run got data %s, the shadow run %s", run, copied)
	}
	return ""
}
