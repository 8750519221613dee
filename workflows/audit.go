package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
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
func (e *Estate) policies(ctx context.Context, mid string) (migration.PolicyFacts, []redisconn.Facts, error) {
	nodes, err := e.sourceNodes(ctx, mid)
	if err != nil {
		return migration.PolicyFacts{}, nil, err
	}
	defer closeNodes(nodes)
	var facts migration.PolicyFacts
	var all []redisconn.Facts
	for _, n := range nodes {
		f, err := redisconn.Inspect(ctx, n.client)
		if err != nil {
			return facts, nil, fmt.Errorf("%s: %w", n.address, redisconn.Explain(err))
		}
		facts.Nodes = append(facts.Nodes, migration.NodePolicy{Node: n.address, Policy: f.MaxMemoryPolicy, ReadBy: f.PolicySource, EvictedKeys: f.EvictedKeys})
		all = append(all, f)
	}
	return facts, all, nil
}

// audit reads the source and changes nothing. What matters most to BullMQ is the eviction policy; the rest is said in the log.
func audit() Step {
	return Step{
		ID:       stepAudit,
		Approval: migration.ApprovalNone,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			c, endpoint, err := e.Source(ctx, v.migration.ID)
			if err != nil {
				return Outlook{}, err
			}
			return Outlook{Summary: "Read the settings and counters of the source Redis.", Impact: "Nothing changes; a handful of INFO and CONFIG GET commands.",
				Gates: []migration.Gate{reachable(ctx, c, endpoint)}}, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{{
				ActionPlan: migration.ActionPlan{ID: "inspect", Title: "Read the eviction policy, memory, persistence and clients of every node"},
				Do: func(ctx context.Context, c *Call) (any, error) {
					facts, servers, err := c.policies(ctx, c.Run.MigrationID)
					if err != nil {
						return nil, err
					}
					for i, s := range servers {
						c.Log("%s: Redis %s, %s, maxmemory-policy %s, %d keys, %s used of %s, %d keys evicted, append-only file %s, %d clients, %s",
							facts.Nodes[i].Node, s.Version, s.Role, s.MaxMemoryPolicy, s.Keys, megabytes(s.UsedMemory), limitText(s.MaxMemory), s.EvictedKeys, onOff(s.AOFEnabled), s.ConnectedClients, passwordText(s.DefaultUserNoPass))
					}
					return servers, c.Evidence(ctx, migration.CheckPolicy, migration.Observed, "CONFIG GET maxmemory-policy, INFO", facts)
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

type formerPolicies map[string]string // by node address

// fixPolicy sets noeviction on every node that holds jobs.
func fixPolicy() Step {
	return Step{
		ID:       stepFixPolicy,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: "Set maxmemory-policy to noeviction on every server that holds jobs, now and in its configuration file.",
				Impact: "No interruption. From then on a full Redis refuses new jobs instead of deleting waiting ones."}
			facts, servers, err := e.policies(ctx, v.migration.ID)
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
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{{
				ActionPlan: migration.ActionPlan{ID: "set-noeviction", Title: "Set maxmemory-policy noeviction and read it back",
					Changes: "CONFIG SET maxmemory-policy noeviction, CONFIG REWRITE", Undo: "sets the former policy again"},
				Do: func(ctx context.Context, c *Call) (any, error) {
					nodes, err := c.sourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return nil, err
					}
					defer closeNodes(nodes)
					former := formerPolicies{}
					if _, err := c.Output(ctx, c.Action, &former); err != nil {
						return nil, err
					}
					for _, n := range nodes {
						previous, persisted, err := redisconn.SetPolicy(ctx, n.client, "noeviction")
						if err != nil {
							return nil, fmt.Errorf("%s: %w", n.address, err)
						}
						if _, known := former[n.address]; !known { // a second attempt must not take noeviction for the former policy
							former[n.address] = previous
							if err := c.Remember(ctx, former); err != nil {
								return nil, err
							}
						}
						c.Log("%s: %s -> noeviction", n.address, previous)
						if !persisted {
							c.Log("%s has no writable configuration file: the setting is lost when it restarts", n.address)
						}
					}
					facts, _, err := c.policies(ctx, c.Run.MigrationID)
					if err != nil {
						return nil, err
					}
					return former, c.Evidence(ctx, migration.CheckPolicy, migration.Observed, "CONFIG GET maxmemory-policy after CONFIG SET", facts)
				},
				Undo: func(ctx context.Context, c *Call) error {
					former := formerPolicies{}
					if ok, err := c.Output(ctx, c.Action, &former); err != nil || !ok {
						return err
					}
					nodes, err := c.sourceNodes(ctx, c.Run.MigrationID)
					if err != nil {
						return err
					}
					defer closeNodes(nodes)
					for _, n := range nodes {
						if policy := former[n.address]; policy != "" {
							if _, _, err := redisconn.SetPolicy(ctx, n.client, policy); err != nil {
								return fmt.Errorf("%s: %w", n.address, err)
							}
							c.Log("%s: %s again", n.address, policy)
						}
					}
					facts, _, err := c.policies(ctx, c.Run.MigrationID)
					if err != nil {
						return err
					}
					return c.Evidence(ctx, migration.CheckPolicy, migration.Observed, "CONFIG GET maxmemory-policy after the rollback", facts)
				},
			}}
		},
	}
}
