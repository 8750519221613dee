package environment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Left is something that keeps a server from its work and that no run under way has put there.
type Left struct {
	Kind     migration.DebtKind `json:"kind"`
	Server   string             `json:"server"`
	Measured string             `json:"measured"`
	Next     string             `json:"next"`
	Debt     int64              `json:"debt,omitempty"` // that it was written down as; 0: as none
}

// Looked is what was found on the servers themselves. Who could not be asked is named, with why:
// nothing is known of it.
type Looked struct {
	Left    []Left            `json:"left"`
	Asked   []string          `json:"asked"`
	Unasked map[string]string `json:"unasked,omitempty"`
}

// liftGrace is how long what a run has left may take to be lifted before that is wrong: a
// master that was voted out has to become a replica first.
const liftGrace = time.Minute

// Look looks for fences and sentinels that look away, on every server of the source and the
// target that is known, whoever has put them there. What nobody has written down is told when
// two looks in a row see it: somebody may be at it just now.
func (d *Debts) Look(ctx context.Context, mid string) (Looked, error) {
	out := Looked{Left: []Left{}, Asked: []string{}, Unasked: map[string]string{}}
	before, err := d.store.Debts(ctx, mid)
	if err != nil {
		return out, err
	}
	r, err := d.servers.routing.Read(ctx, mid)
	if err != nil {
		return out, err
	}
	var found []Left
	if r.HasSource() || len(before) > 0 {
		found = append(found, d.fences(ctx, before, &out)...)
		found = append(found, d.lookAway(ctx, r, &out)...)
	}
	found = append(found, d.targetFence(ctx, &out)...)
	after, err := d.store.Debts(ctx, mid)
	if err != nil {
		return out, err
	}
	out.Left = append(out.Left, d.unpaid(after)...)
	out.Left = append(out.Left, d.unknown(found, slices.Concat(before, after))...)
	return out, nil
}

// unpaid are the debts of runs that are over and could not be lifted.
func (d *Debts) unpaid(owed []migration.Debt) []Left {
	var out []Left
	for _, debt := range owed {
		if debt.Open || debt.TriedAt == nil || d.now().Sub(debt.Since) < liftGrace {
			continue
		}
		out = append(out, Left{
			Kind:   debt.Kind,
			Server: debt.Server,
			Measured: fmt.Sprintf("%s, since run %s of %s; it could not be lifted: %s",
				debt, debt.Run, debt.Step, debt.Held),
			Next: fmt.Sprintf("clear what is named, or decide: switchyard debts lift %d, or "+
				"switchyard debts drop %d once it may stay", debt.ID, debt.ID),
			Debt: debt.ID,
		})
	}
	return out
}

// unknown keeps what nobody has written down, once it was seen twice.
func (d *Debts) unknown(found []Left, owed []migration.Debt) []Left {
	var out []Left
	seen := map[string]bool{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range found {
		if slices.ContainsFunc(owed, func(debt migration.Debt) bool {
			return debt.Kind == l.Kind &&
				slices.Contains(strings.Split(debt.Server, ","), l.Server)
		}) {
			continue
		}
		key := string(l.Kind) + " " + l.Server
		if seen[key] = true; d.seen[key] {
			out = append(out, l)
		}
	}
	d.seen = seen
	return out
}

// fences looks at every data server of the source side.
func (d *Debts) fences(ctx context.Context, owed []migration.Debt, out *Looked) []Left {
	var deployment []string
	if d.servers.Cluster != nil {
		var err error
		if deployment, err = d.servers.Cluster.NodeAddrs(ctx); err != nil {
			out.Unasked["the nodes of the Sentinel deployment"] = InWords(err)
		}
	}
	nodes := d.nodes(ctx, owed)
	defer CloseNodes(nodes)
	var found []Left
	for _, n := range nodes {
		found = append(found, d.fence(ctx, n, deployment, out)...)
	}
	return found
}

// fence looks at one server; deployment are the nodes that may replicate from it.
func (d *Debts) fence(ctx context.Context, n Node, deployment []string, out *Looked) []Left {
	bounded, cancel := context.WithTimeout(ctx, aloneFor)
	defer cancel()
	need, err := redisconn.WritesNeed(bounded, n.Client)
	if err != nil {
		out.Unasked[n.Address] = InWords(err)
		return nil
	}
	out.Asked = append(out.Asked, n.Address)
	replicas, member := need.Connected, slices.Contains(deployment, n.Address)
	if member {
		replicas = max(replicas, len(deployment)-1)
	}
	// a replica that nobody promotes needs none, short of a fence
	if need.Required <= replicas || need.Role == "slave" && !member && !need.Fenced() {
		return nil
	}
	what := "it refuses every write"
	if need.Role == "slave" {
		what = "it will refuse every write once it is promoted"
	}
	return []Left{{
		Kind:   migration.DebtFence,
		Server: n.Address,
		Measured: fmt.Sprintf("min-replicas-to-write is %d with %s: %s, and no run has written "+
			"down that it set this", need.Required, migration.Count(replicas, "replica"), what),
		Next: fmt.Sprintf("find out who set it; if it is not wanted: CONFIG SET "+
			"min-replicas-to-write %d and CONFIG REWRITE on %s", min(replicas, 1), n.Address),
	}}
}

// lookAway finds sentinels that would not fail over. A deployment that nobody is on and no
// sentinel knows is not set up yet.
func (d *Debts) lookAway(ctx context.Context, r migration.Routing, out *Looked) []Left {
	if d.servers.Cluster == nil {
		return nil
	}
	var found []Left
	watched := r.Source == migration.SourceSentinel
	for _, w := range d.servers.Cluster.Watchers(ctx) {
		if w.Err != nil {
			out.Unasked[w.Addr] = InWords(w.Err)
			continue
		}
		out.Asked = append(out.Asked, w.Addr)
		l := Left{Kind: migration.DebtSentinels, Server: w.Addr}
		switch {
		case w.Master == "":
			l.Measured = "this sentinel does not monitor the primary, so it takes no part in a " +
				"failover, and no run has written down that it stopped it"
			l.Next = "SENTINEL MONITOR it again with the settings of the other sentinels"
		case w.DownAfterMS > evidence.FailoverLimitMS:
			watched = true
			l.Measured = fmt.Sprintf("this sentinel takes the primary for alive for %d ms "+
				"(down-after-milliseconds), longer than a failover may take (%d ms)",
				w.DownAfterMS, evidence.FailoverLimitMS)
			l.Next = "SENTINEL SET down-after-milliseconds to what the others have"
		default:
			watched = true
			continue
		}
		found = append(found, l)
	}
	if !watched {
		return nil
	}
	return found
}

// targetFence looks at the target, where it lets its settings be read.
func (d *Debts) targetFence(ctx context.Context, out *Looked) []Left {
	c, endpoint, err := d.servers.Target(ctx)
	switch {
	case migration.KindOf(err) == migration.NotFound && err != nil:
		return nil // not provisioned
	case err != nil:
		out.Unasked["the target"] = InWords(err)
		return nil
	}
	return d.fence(ctx, Node{Address: endpoint.Address(), Client: c}, nil, out)
}
