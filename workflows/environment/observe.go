package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Policies reads the eviction policy of every server that holds jobs now. A server that
// cannot be read is an error: it must not be passed over. What was evicted counts from the
// last observation on; anew begins to count now, after a fix.
func (s *Servers) Policies(
	ctx context.Context,
	mid string,
	anew bool,
) (evidence.PolicyFacts, []redisconn.Facts, error) {
	var facts, last evidence.PolicyFacts
	nodes, err := s.SourceNodes(ctx, mid)
	if err != nil {
		return facts, nil, err
	}
	defer CloseNodes(nodes)
	if !anew {
		latest, err := s.store.LatestEvidence(ctx, mid)
		if err != nil {
			return facts, nil, err
		}
		if ev, ok := latest[evidence.Policy]; ok {
			_ = json.Unmarshal(ev.Facts, &last) // facts of another version: counting begins now
		}
	}
	var all []redisconn.Facts
	for _, n := range nodes {
		f, err := redisconn.Inspect(ctx, n.Client)
		if err != nil {
			return facts, nil, fmt.Errorf("%s: %w", n.Address, redisconn.Explain(err))
		}
		p := evidence.NodePolicy{
			Node:        n.Address,
			Policy:      f.MaxMemoryPolicy,
			ReadBy:      f.PolicySource,
			EvictedKeys: f.EvictedKeys,
			RunID:       f.RunID,
		}
		facts.Nodes = append(facts.Nodes, p.After(last))
		all = append(all, f)
	}
	return facts, all, nil
}

// Audits judges every node that holds jobs by the checks that need no look at the keys. A
// node that cannot be read is an error.
func (s *Servers) Audits(
	ctx context.Context,
	mid string,
) ([]audit.Report, evidence.AuditFacts, error) {
	var facts evidence.AuditFacts
	nodes, err := s.SourceNodes(ctx, mid)
	if err != nil {
		return nil, facts, err
	}
	defer CloseNodes(nodes)
	reports, errs := make([]audit.Report, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			reports[i], errs[i] = audit.Run(ctx, n.Client, audit.Options{NoScan: true})
			reports[i].Address = n.Address
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, facts, fmt.Errorf("%s: %w", nodes[i].Address, redisconn.Explain(err))
		}
	}
	facts = AuditFacts(reports)
	owed, err := s.store.Debts(ctx, mid)
	if err != nil {
		return nil, facts, err
	}
	softenFences(facts, owed)
	latest, err := s.store.LatestEvidence(ctx, mid)
	if err != nil {
		return nil, facts, err
	}
	last, _ := AuditFactsOf(latest)
	d, err := s.disturbance(ctx, mid, latest[evidence.Audit].ObservedAt, time.Now())
	return reports, facts.After(last).During(last, d), err
}

// betweenLooks is how long after a run of ours its errors may be seen for the first time. What
// comes up later has nothing to do with it.
const betweenLooks = 30 * time.Second

// disturbance gives the newest run that makes servers refuse commands, where it is under way or
// has ended since the last look.
func (s *Servers) disturbance(
	ctx context.Context, mid string, looked, now time.Time,
) (evidence.Disturbance, error) {
	if lately := now.Add(-betweenLooks); looked.Before(lately) {
		looked = lately
	}
	runs, err := s.store.Runs(ctx, mid, "", 20)
	for _, r := range runs {
		if r.Disturbs() && (r.State.Open() || r.FinishedAt != nil && r.FinishedAt.After(looked)) {
			return evidence.Disturbance{Run: r.ID, Over: !r.State.Open()}, err
		}
	}
	return evidence.Disturbance{}, err
}

// softenFences makes the finding that a server refuses writes news instead of an alarm, where a
// run under way has it do so.
func softenFences(facts evidence.AuditFacts, owed []migration.Debt) {
	for _, n := range facts.Nodes {
		held := slices.ContainsFunc(owed, func(d migration.Debt) bool {
			return d.Open && d.Kind == migration.DebtFence && d.Server == n.Node
		})
		for i, f := range n.Findings {
			if held && f.ID == "min-replicas" && f.State == string(audit.Problem) {
				n.Findings[i].Severity = string(audit.Info)
			}
		}
	}
}

// AuditFacts takes from reports what is looked at again and again, in an order that does
// not depend on what was found.
func AuditFacts(reports []audit.Report) evidence.AuditFacts {
	var out evidence.AuditFacts
	for _, r := range reports {
		n := evidence.NodeAudit{Node: r.Address}
		for _, c := range audit.Catalogue() {
			if f, ok := r.Finding(c.ID); ok && !c.Scan {
				n.Findings = append(
					n.Findings,
					evidence.AuditFinding{
						ID:       f.ID,
						Title:    f.Title,
						Severity: string(f.Severity),
						State:    string(f.State),
						Measured: f.Measured,
						Counted:  f.Counted,
					},
				)
			}
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out
}

func AuditFactsOf(latest map[string]migration.Evidence) (evidence.AuditFacts, bool) {
	e, ok := latest[evidence.Audit]
	if !ok {
		return evidence.AuditFacts{}, false
	}
	return DecodeAudit(e.Facts)
}

func DecodeAudit(raw []byte) (evidence.AuditFacts, bool) {
	var f evidence.AuditFacts
	return f, json.Unmarshal(raw, &f) == nil
}

func SameAudit(last, now []byte) bool {
	a, okA := DecodeAudit(last)
	b, okB := DecodeAudit(now)
	return okA && okB && a.Same(b)
}

// Readiness reads the Sentinel deployment's readiness as evidence.
func (s *Servers) Readiness(ctx context.Context) (evidence.ReadinessFacts, error) {
	checks, err := s.Cluster.Readiness(ctx)
	if err != nil {
		return evidence.ReadinessFacts{}, err
	}
	var facts evidence.ReadinessFacts
	facts.Checks = append(facts.Checks, checks...)
	facts.Master, err = s.Cluster.Master(ctx)
	return facts, err
}

// RecordReadiness waits until the deployment is ready and records it; replicas need a
// moment after a change of roles.
func (s *Servers) RecordReadiness(ctx context.Context, c *engine.Call) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	var facts evidence.ReadinessFacts
	err := engine.Await(ctx, 500*time.Millisecond, func(ctx context.Context) (err error) {
		if facts, err = s.Readiness(ctx); err != nil {
			return engine.NotYet("%v", err)
		}
		if bad := migration.Failing(facts.Checks); len(bad) > 0 {
			return engine.NotYet("%s: %s", bad[0].Title, bad[0].Measured)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Evidence(
		ctx,
		evidence.Readiness,
		migration.Observed,
		"SENTINEL and INFO on every node",
		facts,
	)
}
