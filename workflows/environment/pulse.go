package environment

import (
	"cmp"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

const (
	// pulseMost is how many failures of one kind are remembered; more are more than any limit.
	pulseMost = 10_000
	// pulseAhead is how far an app's clock may be ahead of ours, in milliseconds: what it says
	// went well later than that shows nothing.
	pulseAhead = 5000
)

// pulse is how adds have gone lately by the app's own journal. Canaries do not count: tests
// let them fail. The journal's lock guards it.
type pulse struct {
	refused []int64 // unix ms of each webhook that was answered with an error
	adds    map[addsTo]*sideAdds
	waiting map[string]ledger.Backlog // by journal
	flow    flow
}

// addsTo is a routed queue on one side. Older apps do not tell the queue.
type addsTo struct{ side, queue string }

// sideAdds is how adds to one queue of a side have gone. Times are unix ms; 0: never.
type sideAdds struct {
	LastOK, LastFailed int64
	Error              string // of the last one that failed
	failed             []int64
}

// note takes an event of the journal. What went wrong counts from when it was heard of,
// where the journal is followed live, and what went well from when the app says it was:
// neither clock can make it look better than it is.
func (p *pulse) note(e ledger.Event, now int64, live bool) {
	if e.Canary || e.Outcome == ledger.OutcomeCanary {
		return
	}
	p.flow.note(e, now)
	wrong := min(e.At, now)
	if live {
		wrong = now
	}
	switch {
	case e.Type == ledger.EventDelivery && e.Status >= 500:
		p.refused = remember(p.refused, wrong)
	case e.Type == ledger.EventEnqueued && e.OK && e.At <= now+pulseAhead:
		a := p.to(e)
		a.LastOK = max(a.LastOK, min(e.At, now))
	case e.Type == ledger.EventEnqueued && !e.OK:
		a := p.to(e)
		a.failed, a.Error = remember(a.failed, wrong), e.Error
		a.LastFailed = max(a.LastFailed, wrong)
	}
}

func (p *pulse) to(e ledger.Event) *sideAdds {
	if p.adds == nil {
		p.adds = map[addsTo]*sideAdds{}
	}
	at := addsTo{e.Side, e.Queue}
	if p.adds[at] == nil {
		p.adds[at] = &sideAdds{}
	}
	return p.adds[at]
}

func remember(times []int64, at int64) []int64 {
	if len(times) >= pulseMost {
		times = times[pulseMost/2:]
	}
	return append(times, at)
}

func countSince(times []int64, since int64) (n int) {
	for _, at := range times {
		if at >= since {
			n++
		}
	}
	return n
}

// Pulse is how adds have gone since a time, by the app's journal.
type Pulse struct {
	Refused int // webhooks that were answered with an error
	Sides   map[string]SidePulse
	// Target is the same of each routed queue on the target.
	Target map[string]SidePulse
	// Waiting are orders on the disk of the app's durable intake.
	Waiting ledger.Backlog
}

// SidePulse is the same of one side, or of one queue there. Times are unix ms; 0: never.
type SidePulse struct {
	LastOK, LastFailed int64
	Failed             int    // since the time
	Error              string // of the last one that failed
}

// with adds what another queue of the side saw.
func (s SidePulse) with(o SidePulse) SidePulse {
	if o.LastFailed >= s.LastFailed && o.Error != "" {
		s.Error = o.Error
	}
	s.LastOK, s.LastFailed = max(s.LastOK, o.LastOK), max(s.LastFailed, o.LastFailed)
	s.Failed += o.Failed
	return s
}

// Pulse gives how adds have gone since a time (unix ms); Unavailable while the journal is not
// read to its end.
func (t *Journal) Pulse(since int64) (Pulse, error) {
	if _, err := t.Read(); err != nil {
		return Pulse{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Pulse{
		Refused: countSince(t.pulse.refused, since),
		Sides:   map[string]SidePulse{},
		Target:  map[string]SidePulse{},
		Waiting: t.pulse.intake(),
	}
	for at, a := range t.pulse.adds {
		s := SidePulse{LastOK: a.LastOK, LastFailed: a.LastFailed,
			Failed: countSince(a.failed, since), Error: cmp.Or(a.Error, "no reason given")}
		out.Sides[at.side] = out.Sides[at.side].with(s)
		queue := at.queue
		if queue == "" && len(t.queues) == 1 { // there is no other that it may be of
			queue = t.queues[0]
		}
		if at.side == ledger.Target {
			out.Target[queue] = out.Target[queue].with(s)
		}
	}
	return out, nil
}

// waits takes what one journal's instance has on the disk of its durable intake.
func (p *pulse) waits(epoch string, b ledger.Backlog) {
	if p.waiting == nil {
		p.waiting = map[string]ledger.Backlog{}
	}
	p.waiting[epoch] = b
}

// intake sums up what every instance has there.
func (p *pulse) intake() (sum ledger.Backlog) {
	for _, b := range p.waiting {
		sum.Orders += b.Orders
		if b.Oldest != 0 && (sum.Oldest == 0 || b.Oldest < sum.Oldest) {
			sum.Oldest = b.Oldest
		}
	}
	return sum
}
