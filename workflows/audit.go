package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// node is one server that holds jobs, with a connection of its own.
type node struct {
	address string
	client  redis.UniversalClient
	close   func() error
}

// sourceNodes gives every server behind the present source side: the single server, or each data node of the Sentinel deployment, because
// any of them may become the master.
func (e *Estate) sourceNodes(ctx context.Context, mid string) ([]node, error) {
	r, err := e.Routing(ctx, mid)
	if err != nil {
		return nil, err
	}
	switch r.Source {
	case migration.SourceStandalone:
		return []node{{e.standaloneEndpoint.Address(), e.standalone, func() error { return nil }}}, nil
	case migration.SourceSentinel:
		return e.sentinelNodes(ctx)
	}
	return nil, migration.Errorf(migration.NotFound, "the flags name no source server any more")
}

func (e *Estate) sentinelNodes(ctx context.Context) ([]node, error) {
	if e.cluster == nil {
		return nil, errNoSentinel()
	}
	addrs, err := e.cluster.NodeAddrs(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []node
	for _, a := range addrs {
		c := redisconn.Node(e.sentinelEndpoint, a)
		nodes = append(nodes, node{a, c, c.Close})
	}
	return nodes, nil
}

func errNoSentinel() error {
	return migration.Errorf(migration.Blocked, "no Sentinel deployment is configured: set source.sentinel in the configuration")
}

func closeNodes(nodes []node) {
	for _, n := range nodes {
		_ = n.close() // a connection nobody needs any more
	}
}

// policies reads the eviction policy of every server that holds jobs now. A server that cannot be read is an error: it must not be passed over.
// What was evicted counts from the last observation on; anew begins to count now, after a fix.
func (e *Estate) policies(ctx context.Context, mid string, anew bool) (evidence.PolicyFacts, []redisconn.Facts, error) {
	var facts, last evidence.PolicyFacts
	nodes, err := e.sourceNodes(ctx, mid)
	if err != nil {
		return facts, nil, err
	}
	defer closeNodes(nodes)
	if !anew {
		latest, err := e.store.LatestEvidence(ctx, mid)
		if err != nil {
			return facts, nil, err
		}
		if ev, ok := latest[evidence.Policy]; ok {
			_ = json.Unmarshal(ev.Facts, &last) // facts of another version: counting begins now
		}
	}
	var all []redisconn.Facts
	for _, n := range nodes {
		f, err := redisconn.Inspect(ctx, n.client)
		if err != nil {
			return facts, nil, fmt.Errorf("%s: %w", n.address, redisconn.Explain(err))
		}
		p := evidence.NodePolicy{Node: n.address, Policy: f.MaxMemoryPolicy, ReadBy: f.PolicySource, EvictedKeys: f.EvictedKeys, RunID: f.RunID}
		facts.Nodes = append(facts.Nodes, p.After(last))
		all = append(all, f)
	}
	return facts, all, nil
}

// auditTimeout bounds an audit with all its keys.
const auditTimeout = 20 * time.Minute

// audit reads the source and changes nothing. What matters most to BullMQ, the eviction policy, is evidence of a criterion; the whole report is the
// action's output.
func auditStep() Step {
	return Step{
		ID:       migration.StepAudit,
		Approval: migration.ApprovalNone,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			c, endpoint, err := e.Source(ctx, v.migration.ID)
			if err != nil {
				return Outlook{}, err
			}
			return Outlook{Summary: fmt.Sprintf("Judge the source Redis by %d checks: settings, counters, keys and jobs.", len(audit.Catalogue())),
				Impact: "Nothing changes. INFO, CONFIG GET, SLOWLOG and LATENCY of every node; the keys are looked at in small batches with rests between them.",
				Gates:  []migration.Gate{reachable(ctx, c, endpoint)}}, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{{
				ActionPlan: migration.ActionPlan{ID: actionInspect, Title: "Read the settings, counters and keys of every node, and judge them"},
				Timeout:    auditTimeout,
				Do: func(ctx context.Context, c *Call) (any, error) {
					facts, servers, err := c.policies(ctx, c.Run.MigrationID, false)
					if err != nil {
						return nil, err
					}
					for i, s := range servers {
						c.Log("%s: Redis %s, %s, maxmemory-policy %s, %d keys, %s used of %s, %d keys evicted, append-only file %s, %d clients, %s",
							facts.Nodes[i].Node, s.Version, s.Role, s.MaxMemoryPolicy, s.Keys, megabytes(s.UsedMemory), limitText(s.MaxMemory), s.EvictedKeys, onOff(s.AOFEnabled), s.ConnectedClients, passwordText(s.DefaultUserNoPass))
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed, "CONFIG GET maxmemory-policy, INFO", facts); err != nil {
						return nil, err
					}
					return c.auditAll(ctx)
				},
			}}
		},
	}
}

func limitText(bytes int64) string {
	if bytes <= 0 {
		return "no limit"
	}
	return megabytes(bytes)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func passwordText(open bool) string {
	if open {
		return "LETS CLIENTS IN WITHOUT A PASSWORD"
	}
	return "asks for a password"
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d.%d MB", bytes/1e6, bytes/1e5%10) }

// reachable is the gate that a server answers.
func reachable(ctx context.Context, c redis.UniversalClient, endpoint redisconn.Endpoint) migration.Gate {
	g := migration.Gate{ID: "reachable:" + endpoint.Name, Title: "Redis " + endpoint.Name + " answers", OK: true, Measured: endpoint.Address() + " answers", Limit: "PING answers"}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := redisconn.Ping(ctx, c); err != nil {
		g.OK, g.Measured, g.Next = false, err.Error(), "check that the server runs, and the address and password in the configuration"
	}
	return g
}

// formerSettings are settings by node and name, as they were before.
type formerSettings map[string]map[string]string

// fixPolicy sets noeviction on every node that holds jobs, and with it whatever else the audit finds that can be set without harm.
func fixPolicy() Step {
	return Step{
		ID:       migration.StepFixPolicy,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: "Set maxmemory-policy to noeviction on every server that holds jobs, now and in its configuration file, and the other settings listed below.",
				Impact: "No interruption. From then on a full Redis refuses new jobs instead of deleting waiting ones."}
			facts, servers, err := e.policies(ctx, v.migration.ID, false)
			if err != nil {
				return out, migration.Errorf(migration.Unavailable, "the source cannot be read: %w", err)
			}
			for i, n := range facts.Nodes {
				out.Observed = append(out.Observed, migration.Fact{Label: n.Node, Value: fmt.Sprintf("%s, %d keys evicted so far", n.Policy, n.EvictedKeys)})
				s := servers[i]
				g := migration.Gate{ID: "headroom:" + n.Node, Title: "Memory headroom on " + n.Node, OK: s.MaxMemory <= 0 || s.UsedMemory < s.MaxMemory*9/10,
					Measured: fmt.Sprintf("%s of %s used", megabytes(s.UsedMemory), limitText(s.MaxMemory)), Limit: "below 90 %"}
				if !g.OK {
					g.Next = "raise maxmemory first: with noeviction a full server refuses every new job"
				}
				out.Gates = append(out.Gates, g)
			}
			reports, _, err := e.lookAgain(ctx, v.migration.ID)
			if err != nil {
				return out, migration.Errorf(migration.Unavailable, "the source cannot be audited: %w", err)
			}
			out.Settings = settable(reports)
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{{
				ActionPlan: migration.ActionPlan{ID: "set-noeviction", Title: "Set maxmemory-policy noeviction and the settings listed, and read each back",
					Changes: "CONFIG SET of maxmemory-policy and of each setting listed, CONFIG REWRITE", Undo: "sets the former values again"},
				Do: func(ctx context.Context, c *Call) (any, error) {
					nodes, err := c.sourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return nil, err
					}
					defer closeNodes(nodes)
					former := formerSettings{}
					if _, err := c.Output(ctx, c.Action, &former); err != nil {
						return nil, err
					}
					for _, n := range nodes {
						if err := c.apply(ctx, n, former); err != nil {
							return nil, fmt.Errorf("%s: %w", n.address, err)
						}
					}
					facts, _, err := c.policies(ctx, c.Run.MigrationID, true)
					if err != nil {
						return nil, err
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed, "CONFIG GET maxmemory-policy after CONFIG SET", facts); err != nil {
						return nil, err
					}
					return former, c.auditEvidence(ctx)
				},
				Undo: func(ctx context.Context, c *Call) error {
					former := formerSettings{}
					if ok, err := c.Output(ctx, c.Action, &former); err != nil || !ok {
						return err
					}
					nodes, err := c.sourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return err
					}
					defer closeNodes(nodes)
					for _, n := range nodes {
						for _, name := range slices.Sorted(maps.Keys(former[n.address])) {
							value := former[n.address][name]
							if _, _, err := redisconn.SetConfig(ctx, n.client, name, value); err != nil {
								return fmt.Errorf("%s: %w", n.address, err)
							}
							c.Log("%s: %s %s again", n.address, name, value)
						}
					}
					facts, _, err := c.policies(ctx, c.Run.MigrationID, false)
					if err != nil {
						return err
					}
					if err := c.Evidence(ctx, evidence.Policy, migration.Observed, "CONFIG GET maxmemory-policy after the rollback", facts); err != nil {
						return err
					}
					return c.auditEvidence(ctx)
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
			for _, s := range f.Fix.Settings {
				out = append(out, migration.SettingChange{Node: r.Address, Name: s.Name, From: s.From, To: s.To, Check: f.ID, Why: f.Why, Risk: f.Fix.Risk, Survives: f.Fix.Survives})
			}
		}
	}
	return out
}

// apply sets on one node what was approved for it, and the policy in any case. Former values are kept before they are changed, so that a second attempt
// does not take the new ones for them.
func (c *Call) apply(ctx context.Context, n node, former formerSettings) error {
	want := []migration.SettingChange{{Name: "maxmemory-policy", To: "noeviction"}}
	for _, s := range c.Run.Plan.Settings {
		if s.Node == n.address && s.Name != "maxmemory-policy" {
			want = append(want, s)
		}
	}
	for _, s := range want {
		now, err := redisconn.Config(ctx, n.client, s.Name)
		if err != nil {
			return err
		}
		if _, known := former[n.address][s.Name]; !known {
			if former[n.address] == nil {
				former[n.address] = map[string]string{}
			}
			former[n.address][s.Name] = now[s.Name]
			if err := c.Remember(ctx, former); err != nil {
				return err
			}
		}
		previous, persisted, err := redisconn.SetConfig(ctx, n.client, s.Name, s.To)
		if err != nil {
			return err
		}
		c.Log("%s: %s %s -> %s, read back", n.address, s.Name, previous, s.To)
		if !persisted {
			c.Warn("%s has no writable configuration file: %s is lost when it restarts", n.address, s.Name)
		}
	}
	return nil
}
