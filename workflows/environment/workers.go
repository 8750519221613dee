package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Workers is who reads a migration's flags, and what they attest.
type Workers struct {
	*fleet.Fleet
	Clients *Clients
	latest  func(ctx context.Context, mid string) (map[string]migration.Evidence, error)
	// newest is the last revision of a set that there is, as far as this process was told.
	newest   func(set string) int64
	scanOnly []string
	queues   []string // that are routed, by name or prefix:name
	now      func() time.Time
}

const (
	// ackTimeout is how long workers get to take a flag change over. They poll several times a
	// second; the rest is for slow moments, and for who fell silent to be proven gone.
	ackTimeout = 45 * time.Second
	// steadyFor is for how long every look must be good: one may fall between two words of a
	// worker that nobody has heard yet.
	steadyFor = 3 * time.Second
)

// AwaitWarm waits until every live worker has had the time to be heard since the start of
// this process.
func (w *Workers) AwaitWarm(ctx context.Context) error {
	return engine.Await(ctx, 100*time.Millisecond, func(context.Context) error {
		if !w.Warm() {
			return engine.NotYet(
				"Switchyard has just started, and workers get a few seconds to report",
			)
		}
		return nil
	})
}

// Acknowledged is what Await saw.
type Acknowledged struct {
	Workers int       // that use the revision
	Since   time.Time // the first of the good looks
}

// Await waits until every worker uses the flag revision for everything it has in flight, in
// every look for a few seconds. Those who were waived when the run was approved are not
// waited for. An error of meanwhile, which is asked before each look, ends the wait.
func (w *Workers) Await(
	ctx context.Context, c *engine.Call, revision int64, meanwhile ...func(context.Context) error,
) (Acknowledged, error) {
	seen, _, err := w.await(ctx, c, revision, meanwhile...)
	return seen, err
}

// AwaitBack is Await for the way back, which nobody may block by being silent: all is false
// when workers are unknown after a while, and nobody is known to be behind.
func (w *Workers) AwaitBack(
	ctx context.Context, c *engine.Call, revision int64,
) (seen Acknowledged, all bool, err error) {
	seen, verdict, err := w.await(ctx, c, revision)
	if err != nil && ctx.Err() == nil && verdict == migration.Unknown {
		c.Warn("going back all the same: %v", err)
		return seen, false, nil
	}
	return seen, err == nil, err
}

func (w *Workers) await(
	ctx context.Context, c *engine.Call, revision int64, meanwhile ...func(context.Context) error,
) (seen Acknowledged, verdict migration.Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	waived := c.Run.Plan.Waivers()
	var good steady
	err = engine.Await(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		for _, look := range meanwhile {
			if err := look(ctx); err != nil {
				return err
			}
		}
		now := w.now()
		asked := w.Coverage(ctx, c.Run.MigrationID, revision, true).Waive(waived, now)
		verdict = asked.Verdict()
		long := good.look(now, verdict == migration.Met)
		if seen = (Acknowledged{}); verdict != migration.Met {
			c.Progress("waiting for workers: %s", asked)
			return engine.NotYet("workers do not all use flag revision %d: %s", revision, asked)
		}
		seen.Since = good.since
		for _, m := range asked.Members {
			if m.Verdict == migration.Met {
				seen.Workers++
			}
		}
		if !long {
			return engine.NotYet("workers use flag revision %d, for less than %s yet", revision,
				migration.Words(steadyFor))
		}
		return nil
	})
	if err == nil {
		c.Log("%s on flag revision %d", migration.Count(seen.Workers, "worker is", "workers are"),
			revision)
	}
	return seen, verdict, err
}

// steady is since when every look was good; zero while the last was not.
type steady struct{ since time.Time }

// look takes in one, and reports whether they have been good for steadyFor. A clock that was set
// back begins anew.
func (s *steady) look(now time.Time, good bool) bool {
	switch {
	case !good:
		s.since = time.Time{}
		return false
	case s.since.IsZero() || now.Before(s.since):
		s.since = now
	}
	return now.Sub(s.since) >= steadyFor
}

// Coverage is every reader of a flag set: met when it uses the revision. Who fell silent is
// unknown until the servers of both sides show that it is gone too. needed asks for one at least
// that attests.
func (w *Workers) Coverage(
	ctx context.Context, set string, revision int64, needed bool,
) migration.Coverage {
	w.ForgetGone(ctx, set)
	return w.asHeard(set, revision, needed)
}

func (w *Workers) asHeard(set string, revision int64, needed bool) migration.Coverage {
	out := w.covered(set, func(l fleet.Line) (migration.Verdict, string) {
		return holds(l, revision, max(revision, w.newest(set)))
	})
	if needed && !slices.ContainsFunc(w.Lines(set), func(l fleet.Line) bool { return l.Attesting }) {
		out.Members = append(out.Members, migration.Member{Key: "worker:" + set + "/*",
			Name: "a worker", Why: "no live worker reports; is the ingestion app running, and can " +
				"it reach Switchyard?"})
	}
	return out
}

// covered asks judge of every reader of a set that speaks.
func (w *Workers) covered(
	set string, judge func(fleet.Line) (migration.Verdict, string),
) migration.Coverage {
	out := migration.Coverage{Of: "worker", Found: "attestations, polls and streams of the " +
		"flag set's keys at every replica", Members: w.Unheard(set)}
	for _, l := range w.Lines(set) {
		if l.SpokenFor {
			continue
		}
		m := migration.Member{Key: l.MemberKey(), Name: WorkerName(l.Worker)}
		if !speaks(l) {
			m.Why = sinceWhen(l)
		} else if m.Why = foreign(l); m.Why == "" {
			m.Verdict, m.Why = judge(l)
		}
		out.Members = append(out.Members, m)
	}
	return out
}

// foreign says why what a reader attests cannot be told; "": it can, or it attests nothing.
func foreign(l fleet.Line) string {
	var a fleet.Attestation
	if len(l.Attestation) == 0 || json.Unmarshal(l.Attestation, &a) != nil {
		return ""
	}
	return migration.Foreign(a.Contract)
}

// speaks reports whether a reader is heard now in the most telling way that it has.
func speaks(l fleet.Line) bool { return l.Live && (l.Attesting || len(l.Attestation) == 0) }

// ForgetGone forgets the readers of a set that fell silent, or said that they leave, and of
// which the servers of both sides show no connection any more. Where one cannot be asked, all
// are remembered.
func (w *Workers) ForgetGone(ctx context.Context, set string) {
	lines := w.Lines(set)
	w.forget(lines, sync.OnceValue(func() []list { return w.Clients.both(ctx, lines) }))
}

func (w *Workers) forget(lines []fleet.Line, lists func() []list) {
	for _, l := range lines {
		if !l.SpokenFor && !speaks(l) && (l.Left || l.Overdue) && gone(lists(), l) {
			w.Gone(l)
		}
	}
}

// sinceWhen says since when nothing is heard of a reader.
func sinceWhen(l fleet.Line) string {
	last := l.SeenAt.UTC().Format("15:04:05 MST")
	switch {
	case l.Left:
		return "it said at " + last + " that it leaves"
	case l.Live:
		return "it attests no more"
	}
	return "silent since " + last
}

// holds says whether a live reader uses a revision, of which newest is the last. One that is
// ahead of it was told by a Switchyard that knew more: what it was told nobody knows here.
func holds(l fleet.Line, revision, newest int64) (migration.Verdict, string) {
	at := func(n int64) (migration.Verdict, string) {
		if n > newest {
			return migration.Unknown, fmt.Sprintf("on flag revision %d, and this database knows "+
				"none after %d, as after restoring a backup: change the flags until their revision "+
				"is above that, or start it without its saved flags", n, newest)
		}
		if n == 0 && revision > 0 {
			return migration.Unmet, "uses no flag: one for its queue there is only once the queue " +
				"is among those of the configuration"
		}
		return migration.Truth(n >= revision), fmt.Sprintf("on flag revision %d", n)
	}
	switch {
	case l.Attesting:
		return at(l.Revision)
	case l.Spoke && l.Said == 0:
		return migration.Met, "asks for each evaluation"
	case l.Spoke:
		return at(l.Said)
	case l.Once:
		return migration.Unknown, "polled once, which does not say what it uses"
	case l.Streams > 0:
		return migration.Unknown, fmt.Sprintf("was sent flag revision %d, and does not say that it "+
			"uses it", l.Revision)
	}
	return migration.Unknown, "does not say which flag revision it holds"
}

// TargetVar is the config var through which the app learns the managed Redis' address.
const TargetVar = "TARGET_REDIS_URL"

// OnTarget is every worker of a migration: met when it attests ready connections to the managed
// Redis for all that it does on the source, adding jobs or running them, and unmet when it
// attests none or one that is not ready.
func (w *Workers) OnTarget(ctx context.Context, mid string) migration.Coverage {
	w.ForgetGone(ctx, mid)
	return w.covered(mid, func(l fleet.Line) (migration.Verdict, string) {
		if !l.Attesting {
			return migration.Unknown, "does not attest its connections"
		}
		return onTarget(l.Connections)
	})
}

// shadowWorker runs copies, where and when the stage wants some.
const shadowWorker = "shadow-worker"

func onTarget(connections []fleet.Connection) (migration.Verdict, string) {
	there := map[string]bool{}
	for _, c := range connections {
		if c.Side != "target" || c.Role == shadowWorker {
			continue
		}
		if c.Status != "ready" {
			return migration.Unmet, "its " + c.Role + " connection to the managed Redis is " + c.Status
		}
		there[c.Role] = true
	}
	for _, c := range connections {
		if c.Side == "source" && c.Role != shadowWorker && !there[c.Role] {
			return migration.Unmet, "attests no " + c.Role + " connection to the managed Redis"
		}
	}
	if len(there) == 0 {
		return migration.Unmet, "attests no connection to the managed Redis"
	}
	return migration.Met, "ready"
}

// attestsVar says which instances use what a config var gives them. What the app does not
// attest nobody knows.
func (w *Workers) attestsVar(ctx context.Context, name string) (using, without []string, err error) {
	if name != TargetVar {
		return nil, nil, migration.Errorf(migration.Invalid, "the app does not attest %s", name)
	}
	mid, err := w.Clients.only(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !w.Warm() {
		return nil, nil, migration.Errorf(migration.Unavailable,
			"Switchyard has just started, and workers get a few seconds to report")
	}
	for _, m := range w.OnTarget(ctx, mid).Members {
		if m.Verdict == migration.Met {
			using = append(using, m.Name)
		} else {
			without = append(without, m.Name)
		}
	}
	return using, without, nil
}

// Gate holds when every reader of a flag set uses its revision. needed asks for one at least
// that attests.
func (w *Workers) Gate(
	ctx context.Context, set string, revision int64, needed bool,
) migration.Gate {
	w.ForgetGone(ctx, set)
	return w.gate(set, revision, needed)
}

// GateAsHeard is Gate where no server can be asked who is gone, such as in a transaction.
func (w *Workers) GateAsHeard(set string, revision int64) migration.Gate {
	return w.gate(set, revision, false)
}

func (w *Workers) gate(set string, revision int64, needed bool) migration.Gate {
	c := migration.Claim{
		ID:    "workers",
		Title: "Workers are on the latest flags",
		Limit: fmt.Sprintf("all on flag revision %d", revision),
		Next: "see Workers on the flags page; start the ingestion app if none is live, end " +
			"what is silent, or waive it in writing",
		Asked: w.asHeard(set, revision, needed),
	}
	if needed {
		c.Limit = "at least one, " + c.Limit
	} else if len(c.Asked.Members) == 0 {
		c.Asked = migration.One("flag set", set, migration.Met, "nobody reads it")
	}
	return c.Gate()
}

// WorkerName is how a reader is named to people.
func WorkerName(w migration.Worker) string {
	if w.Identified {
		return w.Instance
	}
	return fmt.Sprintf("an unnamed reader with key %s from %s", w.Key, w.Address)
}

// AttestedQueues are the queues with a producer connection, sorted; never nil.
func AttestedQueues(f evidence.AttestationFacts) []string {
	names := []string{}
	for _, p := range f.Producers {
		names = append(names, p.Queue)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Intake is what the workers of a migration that take orders attest of their durable intake.
func (w *Workers) Intake(ctx context.Context, mid string) evidence.IntakeFacts {
	facts := w.Intakes(mid)
	facts.Asked = w.attesting(ctx, mid)
	return facts
}

// attesting is every worker of a migration: met when it attests.
func (w *Workers) attesting(ctx context.Context, mid string) migration.Coverage {
	w.ForgetGone(ctx, mid)
	return w.covered(mid, func(l fleet.Line) (migration.Verdict, string) {
		if l.Attesting {
			return migration.Met, "attests"
		}
		return migration.Unknown, "does not attest its connections"
	})
}

// Attestation is what live workers attest, which of their queues the last drill left out,
// and which queues of the source they leave out.
func (w *Workers) Attestation(ctx context.Context, mid string) (evidence.AttestationFacts, error) {
	facts := w.Producers(mid)
	facts.Asked = w.attesting(ctx, mid)
	latest, err := w.latest(ctx, mid)
	if err != nil {
		return facts, err
	}
	var last evidence.DrillFacts
	var scanned evidence.ScanFacts
	if drilled, ok := latest[evidence.Drill]; ok && json.Unmarshal(drilled.Facts, &last) == nil {
		facts.Undrilled = last.Untried(AttestedQueues(facts))
	}
	if scan, ok := latest[evidence.Scan]; ok {
		if err := json.Unmarshal(scan.Facts, &scanned); err != nil {
			return facts, fmt.Errorf("the submitted scan: %w", err)
		}
	}
	// An app that restarts attests nothing for a moment: what it attested when it was
	// drilled holds.
	facts.Unattested, facts.ScanOnly = Unattested(
		scanned,
		slices.Concat(AttestedQueues(facts), last.Attested),
		w.scanOnly,
	)
	for _, q := range w.queues {
		if !slices.Contains(slices.Concat(AttestedQueues(facts), last.Attested), q) &&
			!slices.Contains(facts.Unattested, q) {
			facts.Unproduced = append(facts.Unproduced, q)
		}
	}
	return facts, nil
}

// Unattested are the queues that the source names and nobody attests, sorted: those that
// should be attested, and those that the configuration leaves to the scan.
func Unattested(scanned evidence.ScanFacts, attested, scanOnly []string) (should, only []string) {
	var names []string
	for _, f := range scanned.Findings {
		// the source names a queue without the prefix that it may have
		if f.Queue != "" && !slices.ContainsFunc(attested, func(q string) bool {
			return q == f.Queue || strings.HasSuffix(q, ":"+f.Queue)
		}) {
			names = append(names, f.Queue)
		}
	}
	slices.Sort(names)
	for _, q := range slices.Compact(names) {
		if slices.Contains(scanOnly, q) {
			only = append(only, q)
		} else {
			should = append(should, q)
		}
	}
	return should, only
}

// PointSource tells workers which server is the source side, and waits until they follow.
func (w *Workers) PointSource(
	ctx context.Context,
	c *engine.Call,
	routing *Routing,
	to migration.SourceEndpoint,
	reason string,
) error {
	revision, err := w.point(ctx, c, routing, to, reason)
	if err != nil {
		return err
	}
	_, err = w.Await(ctx, c, revision)
	return err
}

// PointBack is PointSource for the way back.
func (w *Workers) PointBack(
	ctx context.Context,
	c *engine.Call,
	routing *Routing,
	to migration.SourceEndpoint,
	reason string,
) error {
	revision, err := w.point(ctx, c, routing, to, reason)
	if err == nil {
		_, _, err = w.AwaitBack(ctx, c, revision)
	}
	return err
}

func (w *Workers) point(
	ctx context.Context, c *engine.Call, routing *Routing, to migration.SourceEndpoint, reason string,
) (revision int64, err error) {
	r, err := routing.Read(ctx, c.Run.MigrationID)
	if err != nil {
		return 0, err
	}
	r.Source = to
	revision, err = routing.Set(ctx, c.Run.MigrationID, r, c.Run.RequestedBy, reason, c.Run.ID)
	if err == nil {
		c.Log("flag revision %d: source-endpoint is %s", revision, to)
	}
	return revision, err
}
