package environment

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Vitals tells whether orders can be added on either side now, and what has gone wrong with
// adds lately: by an add of our own on the target, and by the app's journal. Nothing is
// written to the source: it is only asked.
type Vitals struct {
	Limits config.Guardrails

	servers *Servers
	journal *Journal
	streams *Streams
	now     func() time.Time

	mu     sync.Mutex
	tried  map[string]attempt // by side, of a moment ago
	breach map[string]Fault   // by migration, see Report
}

// attempt is one add of our own, or one question.
type attempt struct {
	at   time.Time
	took migration.Figure // milliseconds
	err  error
}

// OnTarget reports whether going back leads away from it.
func (f Fault) OnTarget() bool { return f.Side == ledger.Target }

const (
	// vitalsFor is how long an attempt counts for whoever asks next: pages plan a move several
	// times a second.
	vitalsFor = time.Second
	// vitalsPatience is how much longer than its limit an attempt is waited for.
	vitalsPatience = time.Second
)

// Fault is a guardrail that is not kept.
type Fault struct {
	Side string // source or target
	Text string // what was measured, and the limit
	// Counted: it is over a number within a time. The others are of this moment, and count
	// while a move is watched only once they have lasted.
	Counted bool
	kind    string // what it is about; see Watch
}

// Faults gives what is wrong on the sides that a stage uses. An error: it could not be found
// out, which is not the same as nothing being wrong.
func (v *Vitals) Faults(
	ctx context.Context, mid string, stage migration.Stage,
) ([]Fault, error) {
	sides := []string{ledger.Target, ledger.Source}
	if stage == migration.StageComplete { // the source is being left
		sides = sides[:1]
	}
	now := v.now()
	heard, err := v.journal.Pulse(now.Add(-v.Limits.Window).UnixMilli())
	if err != nil {
		return nil, err
	}
	_, _, lanes, err := v.streams.Now(ctx, mid)
	if err != nil {
		return nil, err
	}
	var out []Fault
	for _, side := range sides {
		if text := v.slow(v.try(ctx, mid, side), side); text != "" {
			out = append(out, Fault{Side: side, Text: text, kind: "answers"})
		}
		for _, l := range lanes {
			if l.Lane.Side == side && !l.Current {
				out = append(out, Fault{Side: side, kind: "events",
					Text: fmt.Sprintf("the events of %s are not up to date", l.Lane)})
			}
		}
		if s := heard.Sides[side]; s.Failed > v.Limits.MaxRefused {
			out = append(out, Fault{Side: side, Counted: true, kind: "adds",
				Text: fmt.Sprintf("%s of the app to the %s failed within %s (limit %d): %s",
					migration.Count(s.Failed, "add"), side, migration.Words(v.Limits.Window),
					v.Limits.MaxRefused, s.Error)})
		}
	}
	return append(out, v.refusals(heard, now)...), nil
}

// refusals are the faults that the journal does not ascribe to a side: they count for the one
// to which more adds failed, and in doubt for the target.
func (v *Vitals) refusals(heard Pulse, now time.Time) (out []Fault) {
	side := ledger.Target
	if heard.Sides[ledger.Source].Failed > heard.Sides[ledger.Target].Failed {
		side = ledger.Source
	}
	if heard.Refused > v.Limits.MaxRefused {
		out = append(out, Fault{Side: side, Counted: true, kind: "refused",
			Text: fmt.Sprintf("%s refused within %s (limit %d)",
				migration.Count(heard.Refused, "webhook was", "webhooks were"),
				migration.Words(v.Limits.Window), v.Limits.MaxRefused)})
	}
	if w := heard.Waiting; w.Orders > 0 {
		if held := now.Sub(time.UnixMilli(w.Oldest)); held > v.Limits.MaxHeld {
			out = append(out, Fault{Side: side, Counted: true, kind: "held",
				Text: fmt.Sprintf("%s in the app's durable intake, the oldest for %s (limit %s)",
					migration.Count(w.Orders, "order waits", "orders wait"),
					migration.Words(held), migration.Words(v.Limits.MaxHeld))})
		}
	}
	return out
}

// slow says what is wrong with an attempt; "" where it took no longer than allowed.
func (v *Vitals) slow(a attempt, side string) string {
	limit := v.Limits.MaxLatency
	what := "an add on the target"
	if side == ledger.Source {
		what = "an answer of the source"
	}
	took := a.took.Text(func(ms int64) string {
		return migration.Words(time.Duration(ms) * time.Millisecond)
	})
	switch {
	case a.took.Within(limit.Milliseconds()):
		return ""
	case a.took.IsZero():
		return fmt.Sprintf("%s failed: %s", what, InWords(a.err))
	}
	return fmt.Sprintf("%s took %s (limit %s)", what, took, migration.Words(limit))
}

// try adds a job of our own on the target, or asks the source, unless that was done a moment ago.
func (v *Vitals) try(ctx context.Context, mid, side string) attempt {
	v.mu.Lock()
	defer v.mu.Unlock()
	if last, ok := v.tried[side]; ok {
		if age := v.now().Sub(last.at); age >= 0 && age < vitalsFor {
			return last
		}
	}
	a := attempt{at: v.now()}
	c, _, err := v.servers.Side(ctx, mid, side)
	if err != nil {
		a.err = err
	} else {
		bounded, cancel := context.WithTimeout(ctx, v.Limits.MaxLatency+vitalsPatience)
		defer cancel()
		add := func(ctx context.Context) error { return c.Ping(ctx).Err() }
		if side == ledger.Target {
			add = func(ctx context.Context) error { return addProbe(ctx, c) }
		}
		a.took, a.err = timed(bounded, v.Limits.MaxLatency, add)
	}
	if ctx.Err() == nil { // who asked has not gone meanwhile
		v.tried[side] = a
	}
	return a
}

// timed gives the milliseconds that something took: at least, where it had not ended well
// after limit; not observed, where it failed before.
func timed(
	ctx context.Context, limit time.Duration, do func(context.Context) error,
) (migration.Figure, error) {
	start := time.Now()
	err := do(ctx)
	switch took := time.Since(start); {
	case err == nil:
		return migration.Measured(took.Milliseconds()), nil
	case took >= limit:
		return migration.AtLeast(took.Milliseconds()), err
	}
	return migration.Figure{}, err
}

// addScript does what BullMQ's add does to a queue: a counter, the job, its place in the
// queue, an event. A server that is full, fenced or a replica refuses it as it refuses an add.
const addScript = `
local k = KEYS[1]
redis.call('HSET', k .. ':job', 'name', 'probe', 'data', '{}')
redis.call('LPUSH', k .. ':wait', redis.call('INCR', k .. ':id'))
redis.call('XADD', k .. ':events', '*', 'event', 'added')
for _, part in ipairs({':job', ':wait', ':id', ':events'}) do redis.call('PEXPIRE', k .. part, 60000) end
return redis.call('DEL', k .. ':job', k .. ':wait', k .. ':id', k .. ':events')`

// addProbe adds a job to a queue of its own, which nobody works and which is gone afterwards.
func addProbe(ctx context.Context, c redis.UniversalClient) error {
	n, err := c.Eval(ctx, addScript, []string{"switchyard:probe:" + rand.Text()}).Int()
	if err == nil && n != 4 {
		return fmt.Errorf("%w: an add left %d of 4 keys", errNotAsNeeded, n)
	}
	return err
}

// Gates are what a move forward asks of both sides at this moment.
func (v *Vitals) Gates(ctx context.Context, view progress.View) []migration.Gate {
	rails := migration.Claim{
		ID:    "guardrails",
		Title: "Refusals, latency and staleness",
		Limit: fmt.Sprintf("at most %d refused webhooks or failed adds within %s, both sides "+
			"answer within %s", v.Limits.MaxRefused, migration.Words(v.Limits.Window),
			migration.Words(v.Limits.MaxLatency)),
		Next: "wait until it has passed, or mend what is named",
	}
	faults, err := v.Faults(ctx, view.Migration.ID, migration.StageOff)
	rails.Measured = "within every limit on both sides"
	if len(faults) > 0 {
		rails.Measured = faults[0].Text
	}
	return []migration.Gate{v.addsGate(ctx, view),
		rails.About("pair of servers", "source and target", len(faults) == 0, Told(err))}
}

// addsGate: an app can add on the target now, by an add of our own and, from the first stage
// on in which the app adds there, by its last one. What nobody measured is not so.
func (v *Vitals) addsGate(ctx context.Context, view progress.View) migration.Gate {
	c := migration.Claim{
		ID:    "target-adds",
		Title: "An app can add on the target now",
		Limit: "an add of Switchyard's own within " + migration.Words(v.Limits.MaxLatency),
		Next:  "see whether the target responds; nothing is added there until it does",
	}
	own := v.try(ctx, view.Migration.ID, ledger.Target)
	of := func(holds bool, err error) migration.Gate {
		return c.About("server", "the target", holds, err)
	}
	if c.Measured = v.slow(own, ledger.Target); c.Measured != "" {
		return of(false, nil)
	}
	ms, _ := own.took.Value()
	c.Measured = fmt.Sprintf("an add took %d ms", ms)
	if view.Routing.Stage == migration.StageOff { // no order goes there yet
		return of(true, nil)
	}
	c.Limit += fmt.Sprintf(", and the app's last one succeeded at most %s ago",
		migration.Words(v.Limits.AddWithin))
	heard, err := v.journal.Pulse(0)
	if err != nil {
		c.Next = "make sure the ingestion app is up, then look again"
		return of(false, Told(err))
	}
	c.Asked = migration.Coverage{Of: "routed queue", Found: "the configuration"}
	for _, queue := range v.journal.queues {
		m, says, next := v.lastAdd(queue, heard.Target[queue])
		c.Asked.Members = append(c.Asked.Members, m)
		if m.Verdict == migration.Met {
			c.Measured += ", " + says
		} else {
			c.Measured, c.Next = says, next
		}
	}
	return c.Gate()
}

// lastAdd judges the app's last add of a queue on the target.
func (v *Vitals) lastAdd(queue string, last SidePulse) (m migration.Member, says, next string) {
	m = migration.Member{Key: "queue:" + queue, Name: queue}
	age := v.now().Sub(time.UnixMilli(last.LastOK))
	switch {
	case last.LastFailed > 0 && last.LastFailed >= last.LastOK: // in one ms: which was the last?
		m.Verdict, m.Why = migration.Unmet, "the app's last add there failed: "+last.Error
		return m, queue + ": " + m.Why, "see whether the target responds"
	case last.LastOK == 0 || age > v.Limits.AddWithin:
		m.Why = "the app added nothing there in the last " + migration.Words(v.Limits.AddWithin)
		return m, queue + ": " + m.Why, "wait for an order, or decide in writing that none is due"
	}
	m.Verdict = migration.Met
	return m, fmt.Sprintf("the app's last one of %s was %s ago", queue, migration.Words(age)), ""
}

// Watch follows the faults of a move over time.
type Watch struct{ since map[Fault]time.Time }

// Breach gives the fault that takes a move back: one that is counted, or that has lasted. Those
// on the target come first: from it a way leads back.
func (w *Watch) Breach(now time.Time, faults []Fault, lasting time.Duration) (Fault, bool) {
	still := map[Fault]time.Time{}
	var worst *Fault
	for i, f := range faults {
		key := Fault{Side: f.Side, kind: f.kind}
		still[key] = now
		if first, was := w.since[key]; was {
			still[key] = first
		}
		if (f.Counted || now.Sub(still[key]) >= lasting) &&
			(worst == nil || worst.Side != ledger.Target && f.Side == ledger.Target) {
			worst = &faults[i]
		}
	}
	w.since = still
	if worst == nil {
		return Fault{}, false
	}
	return *worst, true
}

// Report keeps what is wrong with a migration for whoever tells people; the zero Fault ends it.
func (v *Vitals) Report(mid string, f Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.breach[mid] = f
}

// Reported gives what was reported last; false where nothing is wrong.
func (v *Vitals) Reported(mid string) (Fault, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.breach[mid]
	return f, f.Text != ""
}
