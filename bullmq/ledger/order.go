package ledger

import (
	"cmp"
	"fmt"
	"unique"
)

// order is everything known about one order. Times are unix ms; 0 means never.
type order struct {
	id             string
	provider       string
	firstEnqueued  int64
	added          int64 // first authoritative add that was accepted
	kept           int64 // last time the durable intake accepted it
	acknowledged   int64 // first 2xx
	rejected       int64 // first 503
	retriedOK      bool  // a 2xx after a 503
	deliveries     []Delivery
	applied        int
	suppressed     int
	misrouted      int
	failures       int
	shadowExpected bool
	shadowEnqueued bool
	result, shadow string // result hashes
	compared       bool
	onSource       bool // the last authoritative add that was accepted went to the source
	onTarget       bool // ... to the target
	jobs           []string
	sent           [4]bool // see Facts.Sent
	payloads       []payload
	last           int64 // of its last event
	story          []Moment
}

// Moment is one thing that happened to an order, as the application recorded it.
type Moment struct {
	At   int64  `json:"at"` // unix ms
	What string `json:"what"`
}

// maxStory bounds how many moments of one order are kept; beyond that only counters
// advance.
const maxStory = 60

func (o *order) tell(at int64, what string) {
	if len(o.story) < maxStory {
		// the same few words for every order
		o.story = append(o.story, Moment{at, unique.Make(what).Value()})
	}
}

// inOrder reports whether there is nothing left to say about the order. One that
// was answered 503 is kept, to tell how it recovered.
func (o *order) inOrder() bool {
	return o.acknowledged != 0 && o.firstEnqueued != 0 && o.applied == 1 && o.rejected == 0 &&
		(!o.shadowExpected || o.compared && o.result == o.shadow) && o.differs("") == ""
}

func (o *order) delivered(e Event) {
	o.provider = cmp.Or(o.provider, e.Provider)
	o.deliveries = append(o.deliveries, Delivery{At: e.At, Status: e.Status})
	o.tell(e.At, fmt.Sprintf("a delivery was answered %d", e.Status))
	switch {
	case e.Status >= 200 && e.Status < 300:
		if o.acknowledged == 0 {
			o.acknowledged = e.At
		}
		o.retriedOK = o.retriedOK || o.rejected != 0
	case e.Status == 503 && o.rejected == 0:
		o.rejected = e.At
	}
}

func (o *order) enqueued(e Event) {
	at := Lane{Side: e.Side, Shadow: e.Shadow}
	if e.Side == Source || e.Side == Target {
		o.sent[at.place()] = true
	}
	how := "added to"
	if !e.OK {
		how = "could not be added to"
	}
	o.tell(e.At, fmt.Sprintf("%s %s%s in stage %s", how, e.Side, shadowWord(e.Shadow),
		cmp.Or(e.Stage, "unknown")))
	if e.Shadow {
		o.shadowEnqueued = o.shadowEnqueued || e.OK
		return
	}
	if o.firstEnqueued == 0 {
		o.firstEnqueued = e.At
	}
	if e.OK {
		o.added = cmp.Or(o.added, e.At)
		o.onSource = e.Side == "source"
		o.onTarget = e.Side == "target"
	}
	if e.OK && e.Stage != "" && e.Stage != "off" && e.Stage != "complete" {
		o.shadowExpected = true
	}
}

func (o *order) executed(e Event) {
	o.tell(e.At, fmt.Sprintf("run on %s%s: %s", cmp.Or(e.Side, "an unknown side"),
		shadowWord(e.Mode == ModeShadow), e.Outcome))
	switch e.Outcome {
	case OutcomeApplied:
		o.applied++
		o.result = cmp.Or(o.result, e.Result)
	case OutcomeSuppressed:
		o.suppressed++
		o.result = cmp.Or(o.result, e.Result)
	case OutcomeCompared:
		o.compared = true
		o.shadow = cmp.Or(o.shadow, e.Result)
	case OutcomeMisrouted:
		o.misrouted++
	}
}

func shadowWord(yes bool) string {
	if yes {
		return " (shadow)"
	}
	return ""
}

// Delivery is one webhook delivery and how it was answered.
type Delivery struct {
	At     int64 `json:"at"` // unix ms
	Status int   `json:"status"`
}

func (o *order) recoveredAfter() int64 {
	for _, d := range o.deliveries {
		if o.rejected != 0 && d.At > o.rejected && d.Status >= 200 && d.Status < 300 {
			return d.At - o.rejected
		}
	}
	return 0
}
