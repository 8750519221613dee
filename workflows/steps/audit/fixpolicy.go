package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// formerSettings are settings by node and name, as they were before.
type formerSettings map[string]map[string]string

// FixPolicy sets noeviction on every node that holds jobs, and with it whatever else the
// audit finds that can be set without harm.
func (s Parts) FixPolicy() engine.Step {
	return engine.Step{
		ID:       migration.StepFixPolicy,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Set maxmemory-policy to noeviction on every server that holds jobs, " +
					"now and in its configuration file, and the other settings listed below.",
				Impact: "No interruption. From then on, a full Redis rejects new jobs instead " +
					"of deleting waiting ones.",
			}
			facts, servers, err := s.Servers.Policies(ctx, v.Migration.ID, false)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the source cannot be read: %w",
					err,
				)
			}
			for i, n := range facts.Nodes {
				out.Observed = append(
					out.Observed,
					migration.Fact{
						Label: n.Node,
						Value: fmt.Sprintf("%s, %d keys evicted so far", n.Policy, n.EvictedKeys),
					},
				)
				srv := servers[i]
				out.Gates = append(out.Gates, migration.Claim{
					ID:    "headroom:" + n.Node,
					Title: "Memory headroom on " + n.Node,
					Measured: fmt.Sprintf(
						"%s of %s used",
						migration.Bytes(srv.UsedMemory),
						limitText(srv.MaxMemory),
					),
					Limit: "below 90 %",
					Next: "raise maxmemory first: with noeviction a full server rejects " +
						"every new job",
				}.About("server", n.Node,
					srv.MaxMemory <= 0 || srv.UsedMemory < srv.MaxMemory*9/10, nil))
			}
			reports, _, err := s.Servers.Audits(ctx, v.Migration.ID)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the source cannot be audited: %w",
					err,
				)
			}
			out.Settings = settable(reports)
			return out, nil
		},
		Result: settingsResult,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{{
				ActionPlan: migration.ActionPlan{
					ID: "set-noeviction",
					Title: "Set maxmemory-policy noeviction and the settings listed, and verify " +
						"each",
					Changes: "CONFIG SET of maxmemory-policy and of each setting listed, CONFIG " +
						"REWRITE",
					Undo: "sets the previous values again",
				},
				Do: func(ctx context.Context, c *engine.Call) (any, error) {
					nodes, err := s.Servers.SourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return nil, err
					}
					defer environment.CloseNodes(nodes)
					former := formerSettings{}
					if _, err := c.Output(ctx, c.Action, &former); err != nil {
						return nil, err
					}
					for _, n := range nodes {
						if err := s.apply(ctx, c, n, former); err != nil {
							return nil, fmt.Errorf("%s: %w", n.Address, err)
						}
					}
					facts, _, err := s.Servers.Policies(ctx, c.Run.MigrationID, true)
					if err != nil {
						return nil, err
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed,
						"CONFIG GET maxmemory-policy after CONFIG SET", facts); err != nil {
						return nil, err
					}
					return former, s.auditEvidence(ctx, c)
				},
				Undo: func(ctx context.Context, c *engine.Call) error {
					former := formerSettings{}
					if ok, err := c.Output(ctx, c.Action, &former); err != nil || !ok {
						return err
					}
					nodes, err := s.Servers.SourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return err
					}
					defer environment.CloseNodes(nodes)
					for _, n := range nodes {
						for _, name := range slices.Sorted(maps.Keys(former[n.Address])) {
							value := former[n.Address][name]
							if _, _, err := redisconn.SetConfig(ctx, n.Client, name, value); err != nil {
								return fmt.Errorf("%s: %w", n.Address, err)
							}
							c.Log("%s: %s %s again", n.Address, name, value)
						}
					}
					facts, _, err := s.Servers.Policies(ctx, c.Run.MigrationID, false)
					if err != nil {
						return err
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed,
						"CONFIG GET maxmemory-policy after the rollback", facts); err != nil {
						return err
					}
					return s.auditEvidence(ctx, c)
				},
			}}
		},
	}
}

// settable lists what the reports found that can be set without harm, the policy first.
func settable(reports []audit.Report) []migration.SettingChange {
	var out []migration.SettingChange
	for _, r := range reports {
		for _, f := range r.Problems(audit.Info) {
			if f.Fix == nil {
				continue
			}
			for _, set := range f.Fix.Settings {
				out = append(
					out,
					migration.SettingChange{
						Node:     r.Address,
						Name:     set.Name,
						From:     set.From,
						To:       set.To,
						Check:    f.ID,
						Why:      f.Why,
						Risk:     f.Fix.Risk,
						Survives: f.Fix.Survives,
					},
				)
			}
		}
	}
	return out
}

// apply sets on one node what was approved for it, and the policy in any case. Former
// values are kept before they are changed, so that a second attempt does not take the new
// ones for them.
func (s Parts) apply(
	ctx context.Context,
	c *engine.Call,
	n environment.Node,
	former formerSettings,
) error {
	want := []migration.SettingChange{{Name: "maxmemory-policy", To: "noeviction"}}
	for _, set := range c.Run.Plan.Settings {
		if set.Node == n.Address && set.Name != "maxmemory-policy" {
			want = append(want, set)
		}
	}
	for _, set := range want {
		now, err := redisconn.Config(ctx, n.Client, set.Name)
		if err != nil {
			return err
		}
		if _, known := former[n.Address][set.Name]; !known {
			if former[n.Address] == nil {
				former[n.Address] = map[string]string{}
			}
			former[n.Address][set.Name] = now[set.Name]
			if err := c.Remember(ctx, former); err != nil {
				return err
			}
		}
		previous, persisted, err := redisconn.SetConfig(ctx, n.Client, set.Name, set.To)
		if err != nil {
			return err
		}
		c.Log("%s: %s %s -> %s, verified", n.Address, set.Name, previous, set.To)
		if !persisted {
			c.Warn(
				"%s has no writable configuration file: %s is lost when it restarts",
				n.Address,
				set.Name,
			)
		}
	}
	return nil
}

// auditEvidence records how every node stands now.
func (s Parts) auditEvidence(ctx context.Context, c *engine.Call) error {
	_, facts, err := s.Servers.Audits(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	return c.Evidence(
		ctx,
		evidence.Audit,
		migration.Observed,
		"INFO, CONFIG GET, SLOWLOG, LATENCY on every node",
		facts,
	)
}

func limitText(bytes int64) string {
	if bytes <= 0 {
		return "no limit"
	}
	return migration.Bytes(bytes)
}
