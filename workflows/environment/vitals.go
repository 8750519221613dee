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
	rails  map[string][]migration.Guardrail
}

// attempt is one add of our own, or one question.
type attempt struct {
	at    time.Time
	limit time.Duration    // within which it was to end
	took  migration.Figure // milliseconds
	err   error
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

// slow says what is wrong with an attempt; "" where it took no longer than allowed.
func slow(a attempt, side string, limit time.Duration) string {
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

// try adds a job of our own on the target, or asks the source, unless that was done a moment
// ago, and waited for as long. limit is how long it may take.
func (v *Vitals) try(ctx context.Context, mid, side string, limit time.Duration) attempt {
	v.mu.Lock()
	defer v.mu.Unlock()
	if last, ok := v.tried[side]; ok {
		if age := v.now().Sub(last.at); age >= 0 && age < vitalsFor &&
			(last.err == nil || last.limit >= limit) {
			return last
		}
	}
	a := attempt{at: v.now(), limit: limit}
	c, _, err := v.servers.Side(ctx, mid, side)
	if err != nil {
		a.err = err
	} else {
		bounded, cancel := context.WithTimeout(ctx, limit+vitalsPatience)
		defer cancel()
		add := func(ctx context.Context) error { return c.Ping(ctx).Err() }
		if side == ledger.Target {
			add = func(ctx context.Context) error { return addProbe(ctx, c) }
		}
		a.took, a.err = timed(bounded, limit, add)
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

// Gates are what a move forward within limits asks of both sides at this moment.
func (v *Vitals) Gates(
	ctx context.Context, view progress.View, limits Limits,
) []migration.Gate {
	rails := migration.Claim{
		ID:    "guardrails",
		Title: "Refusals, latency and staleness",
		Limit: fmt.Sprintf("at most %d refused webhooks or failed adds within %s, both sides "+
			"answer within %s", limits.MaxRefused, migration.Words(limits.Window),
			migration.Words(limits.MaxLatency)),
		Next: "wait until it has passed, or mend what is named",
	}
	readings, err := v.Look(ctx, view.Migration.ID, migration.StageOff, limits, "")
	faults := FaultsOf(readings)
	if err != nil { // what is wrong beside it is not all that there is
		faults = nil
	}
	rails.Measured = "within every limit on both sides"
	if len(faults) > 0 {
		rails.Measured = faults[0].Text
	}
	return []migration.Gate{v.addsGate(ctx, view, limits),
		rails.About("pair of servers", "source and target", len(faults) == 0, Told(err))}
}

// addsGate: an app can add on the target now, by an add of our own and, from the first stage
// on in which the app adds there, by its last one. What nobody measured is not so.
func (v *Vitals) addsGate(
	ctx context.Context, view progress.View, limits Limits,
) migration.Gate {
	c := migration.Claim{
		ID:    "target-adds",
		Title: "An app can add on the target now",
		Limit: "an add of Switchyard's own within " + migration.Words(limits.MaxLatency),
		Next:  "see whether the target responds; nothing is added there until it does",
	}
	own := v.try(ctx, view.Migration.ID, ledger.Target, limits.MaxLatency)
	of := func(holds bool, err error) migration.Gate {
		return c.About("server", "the target", holds, err)
	}
	if c.Measured = slow(own, ledger.Target, limits.MaxLatency); c.Measured != "" {
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
type Watch struct {
	since map[Fault]time.Time
	rails []migration.Guardrail // see Rails
}

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

// Report keeps what is wrong with a migration for whoever tells people, and the guardrails that
// it was judged by; the zero Fault ends it.
func (v *Vitals) Report(mid string, f Fault, rails []migration.Guardrail) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.breach[mid], v.rails[mid] = f, rails
}

// Show keeps guardrails of which not all could be read: what was wrong stays reported.
func (v *Vitals) Show(mid string, rails []migration.Guardrail) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rails[mid] = rails
}

// Judged gives the guardrails that were reported last; none where nobody looks at them here.
func (v *Vitals) Judged(mid string) []migration.Guardrail {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rails[mid]
}

// Reported gives what was reported last; false where nothing is wrong.
func (v *Vitals) Reported(mid string) (Fault, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.breach[mid]
	return f, f.Text != ""
}
