package decommission

import (
	"context"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// copies is the gate that what was looked into stands for every server that goes: each is the
// source's primary, a replica of the same data by its replication id (INFO master_replid), or
// empty. A server that was promoted, or never used, holds jobs that nobody else has looked for.
func copies(
	ctx context.Context, primary string, nodes []environment.Node, found error,
) migration.Gate {
	c := migration.Claim{
		ID:    "copies",
		Title: "Every old server holds what the source holds, or nothing",
		Limit: "a replica of the source, or empty",
		Next: "find out what it holds and move it, or decide in writing that it goes with the " +
			"server",
		Asked: migration.Coverage{Of: "old server", Found: "the configuration and the sentinels"},
	}
	if found != nil {
		return c.About("server", "the old servers", false, environment.Told(found))
	}
	id, err := "", fmt.Errorf("the source's primary %s is none of the old servers", primary)
	for _, n := range nodes {
		if n.Address == primary {
			id, err = replicationID(ctx, n)
		}
	}
	for _, n := range nodes {
		m := migration.Member{Key: "old:" + n.Address, Name: n.Address}
		switch {
		case err != nil:
			m.Why = environment.InWords(err)
		case n.Address != primary:
			m.Why = other(ctx, n, id)
		}
		if m.Why == "" {
			m.Verdict = migration.Met
		}
		c.Asked.Members = append(c.Asked.Members, m)
	}
	return c.Gate()
}

// copiesNow looks before the run begins.
func (s Parts) copiesNow(ctx context.Context, mid string) migration.Gate {
	primary, err := s.Servers.SourceMaster(ctx, mid)
	if err != nil {
		return copies(ctx, "", nil, err)
	}
	defer environment.CloseNodes([]environment.Node{primary})
	nodes, err := s.Servers.Clients.Old(ctx, mid)
	defer environment.CloseNodes(nodes)
	return copies(ctx, primary.Address, nodes, err)
}

// copiesOf looks at the servers of a run.
func (s Parts) copiesOf(ctx context.Context, c *engine.Call) migration.Gate {
	old, nodes, err := s.oldNodes(ctx, c)
	defer environment.CloseNodes(nodes)
	return copies(ctx, old.Master, nodes, err)
}

// other says what a server holds that the source with that replication id does not account for;
// "" nothing.
func other(ctx context.Context, n environment.Node, id string) string {
	facts, err := redisconn.Inspect(ctx, n.Client)
	if err != nil {
		return environment.InWords(err)
	}
	if facts.Keys == 0 && len(facts.OtherDatabases) == 0 {
		return ""
	}
	own, err := replicationID(ctx, n)
	switch {
	case err != nil:
		return environment.InWords(err)
	case facts.Role != "slave":
		return fmt.Sprintf("a primary of its own with %s", migration.Count(int(facts.Keys), "key"))
	case !facts.MasterLinkUp:
		return fmt.Sprintf("a replica whose link is down, with %s",
			migration.Count(int(facts.Keys), "key"))
	case own != id || id == "":
		return fmt.Sprintf("a replica of other data, of %s:%s, with %s", facts.MasterHost,
			facts.MasterPort, migration.Count(int(facts.Keys), "key"))
	}
	return ""
}

func replicationID(ctx context.Context, n environment.Node) (string, error) {
	text, err := n.Client.Info(ctx, "replication").Result()
	if err != nil {
		return "", redisconn.Explain(err)
	}
	return redisconn.ParseInfo(text)["master_replid"], nil
}
