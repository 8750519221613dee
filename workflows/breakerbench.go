package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/drill"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const actionBench = "bench"

var benchFaults = drill.Faults

const (
	// benchUsual and benchWorst are how long one queue takes: where adds fail in time, and where each hangs until the drill gives up. Durable intake takes as long again.
	benchUsual, benchWorst = 10 * time.Second, 5 * time.Minute
	benchTimeout           = 3 * time.Hour
)

// attestedQueues are the queues with a producer connection, sorted; never nil.
func attestedQueues(f evidence.AttestationFacts) []string {
	names := []string{}
	for _, p := range f.Producers {
		names = append(names, p.Queue)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// benchQueues are those of the configuration, then the others that a live worker attests a producer of.
func (e *Estate) benchQueues() []string {
	names := slices.Clone(e.cfg.Queues)
	for _, q := range attestedQueues(e.workers.Producers()) {
		if !slices.Contains(names, q) {
			names = append(names, q)
		}
	}
	return names
}

func (e *Estate) benchEstimate() string {
	queues := e.benchQueues()
	n := time.Duration(len(queues))
	return fmt.Sprintf("It tries %d faults on each of %d queues (%s), one after the other: about %s in all, up to %s where adds hang; twice that where the app has a durable intake.",
		len(benchFaults), len(queues), strings.Join(queues, ", "), migration.Words(n*benchUsual), migration.Words(n*benchWorst))
}

// attestation is what live workers attest, which of their queues the last drill left out, and which queues of the source they leave out.
func (e *Estate) attestation(ctx context.Context, mid string) (evidence.AttestationFacts, error) {
	facts := e.workers.Producers()
	latest, err := e.store.LatestEvidence(ctx, mid)
	if err != nil {
		return facts, err
	}
	var last evidence.DrillFacts
	var scanned evidence.ScanFacts
	if drilled, ok := latest[evidence.Drill]; ok && json.Unmarshal(drilled.Facts, &last) == nil {
		facts.Undrilled = last.Untried(attestedQueues(facts))
	}
	if scan, ok := latest[evidence.Scan]; ok {
		if err := json.Unmarshal(scan.Facts, &scanned); err != nil {
			return facts, fmt.Errorf("the submitted scan: %w", err)
		}
	}
	// An app that restarts attests nothing for a moment: what it attested when it was drilled holds.
	facts.Unattested, facts.ScanOnly = unattested(scanned, slices.Concat(attestedQueues(facts), last.Attested), e.cfg.Drill.ScanOnly)
	return facts, nil
}

// unattested are the queues that the source names and nobody attests, sorted: those that should be attested, and those that the configuration leaves to the scan.
func unattested(scanned evidence.ScanFacts, attested, scanOnly []string) (should, only []string) {
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

// drillBench has the app open producers with its own options to a server of the drill's, and lets that fail in every way. No order is touched.
func drillBench(ctx context.Context, c *Call) (any, error) {
	binary, err := scratch.Find(c.cfg.RedisServer)
	if err != nil {
		return nil, err
	}
	listen := c.cfg.Drill.Listen
	if listen == "" {
		host, err := drill.Reachable(ctx, c.cfg.Ingestion.URL)
		if err != nil {
			return nil, err
		}
		listen = net.JoinHostPort(host, "0")
	}
	b, err := drill.NewBench(ctx, binary, listen, c.cfg.Drill.Advertise)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if err := c.awaitWarm(ctx); err != nil { // a queue that nobody has had the time to attest would be left out
		return nil, err
	}
	var out []evidence.BenchCase
	for _, q := range c.benchQueues() {
		cases, err := b.Run(ctx, drilled{c.ingestion}, q, benchFaults, drill.Defaults(), func(s string) { c.Progress("%s", s) })
		for _, k := range cases {
			found := benchCase(k)
			verdict := "as it should"
			if ok, why := found.OK(); !ok {
				verdict = why
			}
			out = append(out, found)
			if k.Refused != "" {
				c.Warn("%s: %s; add the queue to Drill's queues in the app, or have the app that makes it serve the drill", found.Name(), verdict)
				continue
			}
			again := "accepted again"
			if k.Intake {
				again = "all delivered"
			}
			c.Log("%s: %s; status %d after %d ms, job there: %t, %s after %d ms %s", found.Name(), verdict, found.Status, found.MS, found.Enqueued, again, found.RecoveredMS, k.Note)
		}
		if httpapi.Status(err) == http.StatusNotFound {
			return nil, migration.Errorf(migration.Blocked, "the app knows no drills (404): serve POST /switchyard/drill with Drill of @switchyard/bullmq, then run the step again")
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func benchCase(k drill.Case) evidence.BenchCase {
	ms := k.Recovered.Milliseconds()
	if k.Recovered < 0 {
		ms = -1
	}
	return evidence.BenchCase{Queue: k.Queue, Fault: k.Fault, Title: k.Title, Intake: k.Intake, Status: k.Status, MS: k.Took.Milliseconds(), LimitMS: answerLimit.Milliseconds(), Hung: k.Hung,
		Enqueued: k.Enqueued, Strays: k.Strays, Left: k.Left, RecoveredMS: ms, Note: k.Note, Instance: k.Instance, Refused: k.Refused}
}

// drilled is the app as a drill sees it.
type drilled struct{ app *ingestion.Client }

// Open implements drill.Subject.
func (d drilled) Open(ctx context.Context, o drill.Opening) (drill.Opened, error) {
	r, err := d.app.DrillOpen(ctx, o.ID, o.Queue, o.Address, o.Intake)
	return drill.Opened{Ready: r.Ready, Intake: r.Intake, Instance: r.Instance, Refused: r.Refused}, err
}

// Add implements drill.Subject.
func (d drilled) Add(ctx context.Context, id, job string) (drill.Answer, error) {
	r, err := d.app.DrillAdd(ctx, id, job)
	return drill.Answer{Status: r.Status, Took: r.RoundTrip, Note: r.Error}, err
}

// Restart implements drill.Subject.
func (d drilled) Restart(ctx context.Context, id string) error { return d.app.DrillRestart(ctx, id) }

// Backlog implements drill.Subject.
func (d drilled) Backlog(ctx context.Context, id string) (drill.Backlog, error) {
	r, err := d.app.DrillBacklog(ctx, id)
	return drill.Backlog{Events: r.Backlog, Failure: r.Failure}, err
}

// Close implements drill.Subject.
func (d drilled) Close(ctx context.Context, id string) error { return d.app.DrillClose(ctx, id) }
