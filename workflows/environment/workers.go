package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Workers is who reads a migration's flags, and what they attest.
type Workers struct {
	*fleet.Fleet
	latest   func(ctx context.Context, mid string) (map[string]migration.Evidence, error)
	scanOnly []string
}

// ackTimeout is how long workers get to take a flag change over. They poll several times a
// second; the rest is for slow moments.
const ackTimeout = 45 * time.Second

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

// Await waits until every live worker uses the flag revision for everything it has in
// flight, and returns how many there are.
func (w *Workers) Await(ctx context.Context, c *engine.Call, revision int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	var n int
	err := engine.Await(ctx, 100*time.Millisecond, func(context.Context) error {
		live := w.Live(c.Run.MigrationID)
		n = len(live)
		if n == 0 {
			return engine.NotYet(
				"no live worker reports; is the ingestion app running, and can it reach " +
					"Switchyard?",
			)
		}
		for _, l := range live {
			if l.Revision < revision {
				c.Progress(
					"waiting for %s to switch to flag revision %d (now on %d)",
					l.Instance,
					revision,
					l.Revision,
				)
				return engine.NotYet(
					"worker %s is on flag revision %d, not %d",
					l.Instance,
					l.Revision,
					revision,
				)
			}
		}
		return nil
	})
	if err == nil {
		c.Log("%s on flag revision %d", migration.Count(n, "worker is", "workers are"), revision)
	}
	return n, err
}

// TargetVar is the config var through which the app learns the managed Redis' address.
const TargetVar = "TARGET_REDIS_URL"

// OnTarget names the live instances that attest a ready producer connection to the managed
// Redis, and those that do not. An instance that says nothing of itself beside others of
// its service that do is one that does not.
func (w *Workers) OnTarget() (using, without []string) {
	attests := map[string]bool{} // services
	var silent []migration.Worker
	for _, l := range w.Fleet.Workers() {
		switch {
		case !l.Live:
		case len(l.Attestation) == 0:
			silent = append(silent, l)
		default:
			attests[l.Service] = true
			if onTarget(l.Attestation) {
				using = append(using, WorkerName(l))
			} else {
				without = append(without, WorkerName(l))
			}
		}
	}
	for _, l := range silent {
		if attests[l.Service] {
			without = append(without, WorkerName(l))
		}
	}
	return using, without
}

// onTarget reports whether every producer connection that an instance attests to the target
// is ready, of at least one.
func onTarget(attestation json.RawMessage) bool {
	var a fleet.Attestation
	if err := json.Unmarshal(attestation, &a); err != nil {
		return false
	}
	ready := false
	for _, c := range a.Connections {
		if c.Side != "target" || c.Role != "producer" {
			continue
		}
		if c.Status != "ready" {
			return false
		}
		ready = true
	}
	return ready
}

// attestsVar says which instances use what a config var gives them. What the app does not
// attest nobody knows.
func (w *Workers) attestsVar(_ context.Context, name string) (using, without []string, err error) {
	if name != TargetVar {
		return nil, nil, migration.Errorf(migration.Invalid, "the app does not attest %s", name)
	}
	if !w.Warm() {
		return nil, nil, migration.Errorf(migration.Unavailable,
			"Switchyard has just started, and workers get a few seconds to report")
	}
	using, without = w.OnTarget()
	return using, without, nil
}

// Gate holds when every live reader of a flag set holds its revision. needed asks for at least one.
func (w *Workers) Gate(set string, revision int64, needed bool) migration.Gate {
	g := migration.Gate{
		ID:    "workers",
		Title: "Workers are on the latest flags",
		Limit: fmt.Sprintf("all on flag revision %d", revision),
	}
	if needed {
		g.Limit = "at least one, " + g.Limit
	}
	live := w.Live(set)
	var behind []string
	for _, l := range live {
		if l.Revision < revision {
			behind = append(behind, fmt.Sprintf("%s at %d", WorkerName(l), l.Revision))
		}
	}
	g.OK = (len(live) > 0 || !needed) && len(behind) == 0 && w.Warm()
	g.Measured = fmt.Sprintf("%d live, %d behind", len(live), len(behind))
	if len(behind) > 0 {
		g.Measured += ": " + strings.Join(behind, ", ")
	}
	if !w.Warm() {
		g.Measured += "; Switchyard has just started, and workers get a few seconds to report"
	}
	if !g.OK {
		g.Next = "see Workers on the flags page; start the ingestion app if none is live"
	}
	return g
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

// Attestation is what live workers attest, which of their queues the last drill left out,
// and which queues of the source they leave out.
func (w *Workers) Attestation(ctx context.Context, mid string) (evidence.AttestationFacts, error) {
	facts := w.Producers()
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
	return facts, nil
}

// Unattested are the queues that the source names and nobody attests, sorted: those that
// should be attested, and those that the configuration leaves to the scan.
func Unattested(scanned evidence.ScanFacts, attested, scanOnly []string) (should, only []string) {
	var names []string
	for _, f := range scanned.Findings {
		if f.Queue != "" && !slices.Contains(attested, f.Queue) {
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
	r, err := routing.Read(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	r.Source = to
	revision, err := routing.Set(ctx, c.Run.MigrationID, r, c.Run.RequestedBy, reason, c.Run.ID)
	if err != nil {
		return err
	}
	c.Log("flag revision %d: source-endpoint is %s", revision, to)
	_, err = w.Await(ctx, c, revision)
	return err
}
