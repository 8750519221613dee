// Package audit is the steps that judge the source Redis and mend its settings.
package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Surveys *environment.Surveys
	// Latest gives the newest evidence of each check.
	Latest func(ctx context.Context, mid string) (map[string]migration.Evidence, error)
}

// Inspect is the action whose output is the whole report.
const Inspect = "inspect"

// censusPatience is how long an audit waits for a census of the jobs.
const censusPatience = 90 * time.Second

// auditTimeout bounds an audit with all its keys.
const auditTimeout = 20 * time.Minute

// Step reads the source and changes nothing. What matters most to BullMQ, the eviction
// policy, is evidence of a criterion; the whole report is the action's output.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepAudit,
		Approval: migration.ApprovalNone,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			c, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			if err != nil {
				return engine.PlanResult{}, err
			}
			return engine.PlanResult{
				Summary: fmt.Sprintf(
					"Run %d checks on the source Redis: settings, counters, keys and jobs.",
					len(audit.Catalogue()),
				),
				Impact: "Read-only. INFO, CONFIG GET, SLOWLOG and LATENCY on every node; keys " +
					"are scanned in small batches with pauses in between.",
				Gates: []migration.Gate{environment.Reachable(ctx, c, endpoint)},
			}, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{{
				ActionPlan: migration.ActionPlan{
					ID:    Inspect,
					Title: "Check the settings, counters and keys of every node",
				},
				Timeout: auditTimeout,
				Do: func(ctx context.Context, c *engine.Call) (any, error) {
					facts, servers, err := s.Servers.Policies(ctx, c.Run.MigrationID, false)
					if err != nil {
						return nil, err
					}
					for i, srv := range servers {
						c.Log(
							"%s: Redis %s, %s, maxmemory-policy %s, %d keys, %s used of %s, %d "+
								"keys evicted, append-only file %s, %d clients, %s",
							facts.Nodes[i].Node,
							srv.Version,
							srv.Role,
							srv.MaxMemoryPolicy,
							srv.Keys,
							migration.Bytes(srv.UsedMemory),
							limitText(srv.MaxMemory),
							srv.EvictedKeys,
							onOff(srv.AOFEnabled),
							srv.ConnectedClients,
							passwordText(srv.DefaultUserNoPass),
						)
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed,
						"CONFIG GET maxmemory-policy, INFO", facts); err != nil {
						return nil, err
					}
					return s.auditAll(ctx, c)
				},
			}}
		},
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func passwordText(open bool) string {
	if open {
		return "ACCEPTS CLIENTS WITHOUT A PASSWORD"
	}
	return "requires a password"
}

// auditAll judges every node by every check, with the keys and jobs of the one that takes
// writes: replicas hold the same.
func (s Parts) auditAll(ctx context.Context, c *engine.Call) ([]audit.Report, error) {
	nodes, err := s.Servers.SourceNodes(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes(nodes)
	var reports []audit.Report
	for _, n := range nodes {
		basic, err := redisconn.Inspect(ctx, n.Client)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Address, err)
		}
		o := audit.Options{
			NoScan:   basic.Role == "slave",
			Progress: func(seen, total int64) { c.Progress("%s: %d of about %d keys", n.Address, seen, total) },
		}
		if !o.NoScan {
			if err := s.census(ctx, c, &o); err != nil {
				return nil, err
			}
		}
		r, err := audit.Run(ctx, n.Client, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Address, err)
		}
		r.Address = n.Address
		// the worst is the last line, where people look
		for _, f := range slices.Backward(r.Problems(audit.Medium)) {
			c.Warn("%s: %s, %s: %s", n.Address, f.Severity, f.Title, f.Measured)
		}
		c.Log("%s: %s", n.Address, r.Summary())
		reports = append(reports, r)
	}
	facts := environment.AuditFacts(reports)
	latest, err := s.Latest(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	last, _ := environment.AuditFactsOf(latest)
	return reports, c.Evidence(
		ctx,
		evidence.Audit,
		migration.Observed,
		"INFO, CONFIG GET, SLOWLOG, LATENCY on every node",
		facts.After(last),
	)
}

// census gives an audit the census that pages show, and waits for one that is being taken.
func (s Parts) census(ctx context.Context, c *engine.Call, o *audit.Options) error {
	client, endpoint, err := s.Servers.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	c.Progress("counting the jobs of every queue")
	taken := s.Surveys.Get(ctx, "source", client, endpoint, nil, censusPatience)
	if taken.Usable() {
		o.Census = &taken.Survey
		return nil
	}
	o.CensusNote = "the census of the jobs: " + taken.Error
	return nil
}
