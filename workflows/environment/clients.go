package environment

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// Clients says who is connected to servers, by each server's own list. Whoever is neither
// Switchyard, replication, a sentinel nor a worker that attests the connection is unknown: what
// is done to the server is done to it too.
type Clients struct {
	servers *Servers
	fleet   *fleet.Fleet
	store   *store.Store
}

// only gives the migration whose servers these are: the first.
func (c *Clients) only(ctx context.Context) (mid string, err error) {
	all, err := c.store.Migrations(ctx)
	if err == nil && len(all) == 0 {
		err = migration.Errorf(migration.NotFound, "there is no migration")
	}
	if err != nil {
		return "", err
	}
	return all[0].ID, nil
}

// clientsAwait is how long a connection may take to be attested, or to end.
const clientsAwait = 10 * time.Second

// Gate holds when everybody on the servers is known, or a person waived who is not.
// which gives the servers; its error is a server that cannot be asked.
func (c *Clients) Gate(ctx context.Context, mid string, which NodesOf) migration.Gate {
	return migration.Claim{
		ID:    "connected",
		Title: "Everybody who is connected is known",
		Limit: "nobody but Switchyard, replication, sentinels and workers that attest it",
		Next: "stop these apps, or have them attest their connections; else waive them in " +
			"writing, to go on although this happens to them too",
		Asked: c.Coverage(ctx, mid, which),
	}.Gate()
}

// NodesOf gives the servers that something is done to, with connections that are closed after.
type NodesOf func(ctx context.Context, mid string) ([]Node, error)

// Source is every server behind the present source side.
func (c *Clients) Source(ctx context.Context, mid string) ([]Node, error) {
	return c.servers.SourceNodes(ctx, mid)
}

// Sentinels is every data node of the Sentinel deployment.
func (c *Clients) Sentinels(ctx context.Context, _ string) ([]Node, error) {
	return c.servers.SentinelNodes(ctx)
}

// Old is the single server and every data node of the Sentinel deployment.
func (c *Clients) Old(ctx context.Context, _ string) ([]Node, error) {
	nodes := []Node{c.servers.Old(c.servers.StandaloneEndpoint.Address())}
	if c.servers.Cluster == nil {
		return nodes, nil
	}
	others, err := c.servers.SentinelNodes(ctx)
	for _, n := range others {
		if n.Address == nodes[0].Address { // it follows the new master
			_ = n.Close()
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, err
}

// Check asks again right before a change: an error says who else is connected. An app's own
// reconnect gets the time to be attested. Who was waived when the run was
// approved is not waited for.
func (c *Clients) Check(ctx context.Context, run *engine.Call, which NodesOf) error {
	ctx, cancel := context.WithTimeout(ctx, clientsAwait)
	defer cancel()
	waived := run.Run.Plan.Waivers()
	return engine.Await(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		g := c.Gate(ctx, run.Run.MigrationID, which).Waive(waived, run.Now())
		if g.OK {
			return nil
		}
		run.Progress("%s: %s", g.Title, g.Measured)
		return engine.NotYet("%s: %s; %s", g.Title, g.Measured, g.Next)
	})
}

// Coverage is everybody who is connected to the servers.
func (c *Clients) Coverage(ctx context.Context, mid string, which NodesOf) migration.Coverage {
	out := migration.Coverage{Of: "client", Found: "CLIENT LIST of each server"}
	nodes, err := which(ctx, mid)
	if err != nil {
		out.Members = []migration.Member{{Key: "server:unknown", Name: "the servers",
			Why: InWords(err)}}
		return out
	}
	defer CloseNodes(nodes)
	lines := c.fleet.Lines(mid)
	for _, l := range c.ask(ctx, nodes, lines) {
		out.Members = append(out.Members, l.members()...)
	}
	return out
}

// list is one server's own list of who is connected.
type list struct {
	address, runID string
	target         bool // of the target's side
	clients        []redisconn.Client
	owners         []*fleet.Line // of each client; nil: nobody attests it
	err            error
}

func (c *Clients) ask(ctx context.Context, nodes []Node, lines []fleet.Line) []list {
	out := make([]list, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, aloneFor)
			defer cancel()
			out[i].address, out[i].target = n.Address, c.servers.isTarget(n.Address)
			if out[i].runID, out[i].err = redisconn.RunID(bounded, n.Client); out[i].err == nil {
				out[i].clients, out[i].err = redisconn.Clients(bounded, n.Client)
			}
			out[i].owners = out[i].attested(lines)
		})
	}
	all.Wait()
	return out
}

// nameless is how a client is called that gave its connections no name.
const nameless = "a client without a name"

// group is who has one or more connections to a server.
type group struct {
	member migration.Member
	n      int
}

// members says of everybody on the list who it is.
func (l list) members() []migration.Member {
	if l.err != nil {
		return []migration.Member{{Key: "server:" + l.address, Name: l.address,
			Why: "it does not list its clients: " + InWords(l.err)}}
	}
	groups := map[string]*group{}
	for i, cl := range l.clients {
		if !cl.Sent() {
			continue // it has used nothing, and may be one of ours that authenticates
		}
		m := migration.Member{Verdict: migration.Met}
		var who string
		owner := l.owners[i]
		switch {
		case cl.Ours():
			who, m.Name = "switchyard", "Switchyard"
		case cl.Replicates():
			who, m.Name = "replication", "replication"
		case cl.Sentinel():
			who, m.Name = "sentinel-"+cl.SentinelID(), "sentinel "+cl.SentinelID()
		case owner != nil:
			who, m.Name, m.Why = owner.ID, WorkerName(owner.Worker), "as it attests"
			if !owner.Attesting {
				m.Verdict, m.Why = migration.Unknown, "it is connected and attests no more"
			}
		default:
			who = strings.TrimSuffix(cl.Host()+"/"+cl.Name, "/")
			m.Verdict, m.Name = migration.Unknown, cmp.Or(cl.Name, nameless)
			m.Why = fmt.Sprintf("from %s, user %s, last command %s%s", cl.Host(), cl.User, cl.Cmd,
				strings.TrimSuffix(", "+cl.Library, ", "))
		}
		if groups[who] == nil {
			m.Key = "client:" + l.address + "/" + who
			m.Name += " on " + l.address
			groups[who] = &group{member: m}
		}
		groups[who].n++
	}
	var out []migration.Member
	for _, who := range slices.Sorted(maps.Keys(groups)) {
		g := groups[who]
		why := migration.Count(g.n, "connection")
		if g.member.Why != "" {
			why = g.member.Why + ": " + why
		}
		g.member.Why = why
		out = append(out, g.member)
	}
	return out
}

// unproven reports whether a connection is neither ours nor the servers' own.
func unproven(cl redisconn.Client) bool {
	return cl.Sent() && !cl.Ours() && !cl.Replicates() && !cl.Sentinel()
}

// attested gives for each connection the worker that attests it; nil where none does. A worker
// tells its connections by the ids that this very server gave them. For apps that cannot, address
// and name must match, and an address must not have more of such connections than are attested
// there: nobody could tell which of them is another's.
func (l list) attested(lines []fleet.Line) []*fleet.Line {
	out := make([]*fleet.Line, len(l.clients))
	byID := map[int64]*fleet.Line{}
	hosts := map[string]*claims{}
	for i := range lines {
		line := &lines[i]
		for _, c := range line.Connections {
			switch {
			case (c.Side == "target") != l.target:
			case len(c.ClientIDs) > 0 && c.RunID == l.runID && l.runID != "":
				for _, id := range c.ClientIDs {
					byID[id] = line
				}
			case len(c.ClientIDs) == 0:
				if hosts[line.Address] == nil {
					hosts[line.Address] = &claims{names: map[string]*fleet.Line{}}
				}
				hosts[line.Address].add(c, line)
			}
		}
	}
	for i, cl := range l.clients {
		if !unproven(cl) {
			continue
		}
		if out[i] = byID[cl.ID]; out[i] != nil {
			continue
		}
		if h := hosts[cl.Host()]; h != nil && h.owner(cl) != nil {
			h.rows = append(h.rows, i)
		}
	}
	for _, h := range hosts {
		if len(h.rows) <= h.most {
			for _, i := range h.rows {
				out[i] = h.owner(l.clients[i])
			}
		}
	}
	return out
}

// claims is what workers of one address attest without ids.
type claims struct {
	names  map[string]*fleet.Line // by the connection's name
	blocks *fleet.Line            // that reads, on a connection which has no name
	most   int
	rows   []int
}

// add counts a connection: a producer has one, a worker a second on which it blocks.
func (h *claims) add(c fleet.Connection, line *fleet.Line) {
	if c.Status != "" && c.Status != "ready" {
		return
	}
	for _, name := range namesOf(c) {
		h.names[name] = line
	}
	if h.most++; c.Role != "producer" {
		h.most++
		h.blocks = line
	}
}

// namesOf are the names that a connection may have: the one that the app gave it, or for a
// worker's the one that BullMQ gives.
func namesOf(c fleet.Connection) []string {
	var names []string
	var name string
	if json.Unmarshal(c.Options["connectionName"], &name) == nil && name != "" {
		names = append(names, name)
	}
	if c.Role != "producer" {
		names = append(names, ":"+base64.StdEncoding.EncodeToString([]byte(c.Queue)))
	}
	return names
}

// owner gives the worker of the address that attests such a connection; nil: none.
func (h *claims) owner(cl redisconn.Client) *fleet.Line {
	if cl.Name == "" {
		if h.blocks != nil && (cl.Cmd == "bzpopmin" || cl.Cmd == "brpoplpush" || cl.Cmd == "blmove") {
			return h.blocks
		}
		return nil
	}
	if line := h.names[cl.Name]; line != nil {
		return line
	}
	for name, line := range h.names {
		if called(cl.Name, name) {
			return line
		}
	}
	return nil
}

// called reports whether a connection has a name as namesOf gives it.
func called(have, name string) bool {
	if have == name {
		return true
	}
	if !strings.HasPrefix(name, ":") {
		return false
	}
	base, _, _ := strings.Cut(have, ":w:") // the worker's own name follows
	return strings.HasSuffix(base, name)
}

// ended is the status of a connection that its app closed: ioredis opens it no more.
const ended = "end"

// gone reports whether a reader that is silent is on none of the lists any more, all of which
// must be there: neither by the connections that it attested, nor by the names of its
// connections or its address, for it may have connected again since. The address does not count
// against one that said that it leaves and gave every connection a name: whoever else is there
// without an owner, another app or another part of the same, has other names.
func gone(lists []list, line fleet.Line) bool {
	var names []string
	byAddress := !line.Left || len(line.Connections) == 0
	for _, c := range line.Connections {
		own := namesOf(c)
		names = append(names, own...)
		nameless := len(own) == 0 || len(c.ClientIDs) == 0
		byAddress = byAddress || nameless && c.Status != ended
	}
	for _, l := range lists {
		if l.err != nil {
			return false
		}
		for i, cl := range l.clients {
			switch owner := l.owners[i]; {
			case owner != nil:
				if owner.ID == line.ID {
					return false
				}
			case unproven(cl) && (byAddress && cl.Host() == line.Address ||
				slices.ContainsFunc(names, func(name string) bool { return called(cl.Name, name) })):
				return false
			}
		}
	}
	return true
}

// both lists who is connected to the servers of both sides, as far as they are there.
// lines are readers that may be connected there too, besides those of the migration.
func (c *Clients) both(ctx context.Context, lines []fleet.Line) []list {
	mid, err := c.only(ctx)
	if err != nil {
		return []list{{address: "the source", err: err}}
	}
	nodes, err := c.servers.SourceNodes(ctx, mid)
	if err != nil && migration.KindOf(err) != migration.NotFound {
		return []list{{address: "the source", err: err}}
	}
	target, endpoint, err := c.servers.Target(ctx)
	switch {
	case err == nil:
		nodes = append(nodes, Node{endpoint.Address(), target, func() error { return nil }})
	case migration.KindOf(err) != migration.NotFound:
		CloseNodes(nodes)
		return []list{{address: "the target", err: err}}
	}
	defer CloseNodes(nodes)
	if len(lines) > 0 && lines[0].Set != mid {
		lines = slices.Concat(lines, c.fleet.Lines(mid))
	}
	return c.ask(ctx, nodes, lines)
}
