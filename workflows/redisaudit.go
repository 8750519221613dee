package workflows

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
)

const (
	actionInspect = "inspect"
	// censusPatience is how long an audit waits for a census of the jobs.
	censusPatience = 90 * time.Second
)

// RedisAudit is the last whole audit of the source, and what has changed since.
type RedisAudit struct {
	RunID   string         `json:"run_id"`
	At      time.Time      `json:"at"`
	Reports []audit.Report `json:"reports"` // one for each node
	// Now is what the monitor saw last of the checks that need no look at the keys; NowAt is zero before it looked.
	Now    migration.AuditFacts `json:"now"`
	NowAt  time.Time            `json:"now_at"`
	Alerts []migration.Alert    `json:"alerts,omitempty"`
}

// RedisAudit gives the last whole audit of the source. NotFound before there is one.
func (c *Control) RedisAudit(ctx context.Context, mid string) (RedisAudit, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return RedisAudit{}, err
	}
	last := v.latest(migration.StepAudit)
	if last == nil {
		return RedisAudit{}, migration.Errorf(migration.NotFound, "the source was not audited yet: run the step Audit the source Redis")
	}
	run, err := c.store.Run(ctx, last.ID)
	if err != nil {
		return RedisAudit{}, err
	}
	out := RedisAudit{RunID: run.ID, At: run.CreatedAt}
	for _, a := range run.Actions {
		if a.ID == actionInspect && a.Output != nil {
			if err := json.Unmarshal(a.Output, &out.Reports); err != nil {
				return RedisAudit{}, migration.Errorf(migration.NotFound, "the last audit is of an older version: run the step Audit the source Redis again")
			}
		}
	}
	if facts, ok := auditFactsOf(v.latestEv); ok {
		out.Now, out.NowAt = facts, v.latestEv[migration.CheckAudit].ObservedAt
		if sourceExists(v.routing) {
			out.Alerts = facts.Alerts()
		}
	}
	return out, nil
}

// lookAgain judges every node that holds jobs by the checks that need no look at the keys. A node that cannot be read is an error.
func (e *Estate) lookAgain(ctx context.Context, mid string) ([]audit.Report, migration.AuditFacts, error) {
	var facts migration.AuditFacts
	nodes, err := e.sourceNodes(ctx, mid)
	if err != nil {
		return nil, facts, err
	}
	defer closeNodes(nodes)
	reports, errs := make([]audit.Report, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			reports[i], errs[i] = audit.Run(ctx, n.client, audit.Options{NoScan: true})
			reports[i].Address = n.address
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, facts, fmt.Errorf("%s: %w", nodes[i].address, redisconn.Explain(err))
		}
	}
	facts = auditFacts(reports)
	latest, err := e.store.LatestEvidence(ctx, mid)
	if err != nil {
		return nil, facts, err
	}
	last, _ := auditFactsOf(latest)
	return reports, facts.After(last), nil
}

// auditFacts takes from reports what is looked at again and again, in an order that does not depend on what was found.
func auditFacts(reports []audit.Report) migration.AuditFacts {
	var out migration.AuditFacts
	for _, r := range reports {
		n := migration.NodeAudit{Node: r.Address}
		for _, c := range audit.Catalogue() {
			if f, ok := r.Finding(c.ID); ok && !c.Scan {
				n.Findings = append(n.Findings, migration.AuditFinding{ID: f.ID, Title: f.Title, Severity: string(f.Severity), State: string(f.State), Measured: f.Measured})
			}
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out
}

func auditFactsOf(latest map[string]migration.Evidence) (migration.AuditFacts, bool) {
	e, ok := latest[migration.CheckAudit]
	if !ok {
		return migration.AuditFacts{}, false
	}
	return decodeAudit(e.Facts)
}

func decodeAudit(raw []byte) (migration.AuditFacts, bool) {
	var f migration.AuditFacts
	return f, json.Unmarshal(raw, &f) == nil
}

func sameAudit(last, now []byte) bool {
	a, okA := decodeAudit(last)
	b, okB := decodeAudit(now)
	return okA && okB && a.Same(b)
}

// auditEvidence records how every node stands now.
func (c *Call) auditEvidence(ctx context.Context) error {
	_, facts, err := c.lookAgain(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	return c.Evidence(ctx, migration.CheckAudit, migration.Observed, "INFO, CONFIG GET, SLOWLOG, LATENCY on every node", facts)
}

// auditAll judges every node by every check, with the keys and jobs of the one that takes writes: replicas hold the same.
func (c *Call) auditAll(ctx context.Context) ([]audit.Report, error) {
	nodes, err := c.sourceNodes(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer closeNodes(nodes)
	var reports []audit.Report
	for _, n := range nodes {
		basic, err := redisconn.Inspect(ctx, n.client)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.address, err)
		}
		o := audit.Options{NoScan: basic.Role == "slave", Progress: func(seen, total int64) { c.Progress("%s: %d of about %d keys", n.address, seen, total) }}
		if !o.NoScan {
			if err := c.census(ctx, &o); err != nil {
				return nil, err
			}
		}
		r, err := audit.Run(ctx, n.client, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.address, err)
		}
		r.Address = n.address
		for _, f := range slices.Backward(r.Problems(audit.Medium)) { // the worst is the last line, where people look
			c.Warn("%s: %s, %s: %s", n.address, f.Severity, f.Title, f.Measured)
		}
		c.Log("%s: %s", n.address, r.Summary())
		reports = append(reports, r)
	}
	facts := auditFacts(reports)
	latest, err := c.store.LatestEvidence(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	last, _ := auditFactsOf(latest)
	return reports, c.Evidence(ctx, migration.CheckAudit, migration.Observed, "INFO, CONFIG GET, SLOWLOG, LATENCY on every node", facts.After(last))
}

// census gives an audit the census that pages show, and waits for one that is being taken.
func (c *Call) census(ctx context.Context, o *audit.Options) error {
	client, endpoint, err := c.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	c.Progress("counting the jobs of every queue")
	s := c.surveys.get(ctx, "source", client, endpoint, nil, censusPatience)
	if s.Usable() {
		o.Census = &s.Survey
		return nil
	}
	o.CensusNote = "the census of the jobs: " + s.Error
	return nil
}
