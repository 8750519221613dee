package environment

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// Debts takes off servers what runs have put there and not taken off themselves, and looks for
// what nobody has written down.
type Debts struct {
	servers *Servers
	app     App
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time

	mu   sync.Mutex
	seen map[string]bool // what the last Look found that nobody has written down
}

const (
	// liftWithin bounds the lifting of one debt. Sentinels need longest: they have to find each
	// other again.
	liftWithin = 15 * time.Second
	// ownWithin is how long a run waits for its own earlier debts to be lifted: a master that
	// was voted out answers again, and becomes a replica, within that time.
	ownWithin = 90 * time.Second
)

// Fence has a server refuse writes, written down first.
func (d *Debts) Fence(ctx context.Context, c *engine.Call, n Node, peers ...string) error {
	return redisconn.FenceOwing(ctx, n.Client, c, n.Address, peers...)
}

// Unfence lifts a fence of this run's.
func (d *Debts) Unfence(ctx context.Context, c *engine.Call, n Node) error {
	return redisconn.UnfencePaid(ctx, n.Client, c, n.Address)
}

// Suspend has the sentinels look away, with how they watched written down first.
func (d *Debts) Suspend(ctx context.Context, c *engine.Call, was sentinel.Monitor) error {
	raw, err := json.Marshal(was)
	if err != nil {
		return err
	}
	cluster := d.servers.Cluster
	if err := c.Owe(ctx, migration.Debt{
		Kind:   migration.DebtSentinels,
		Server: strings.Join(cluster.Sentinels(), ","),
		What:   was.Name,
		Before: string(raw),
		Set:    "monitor nothing",
	}); err != nil {
		return err
	}
	if _, err := cluster.Suspend(ctx); err != nil && !errors.Is(err, sentinel.ErrSuspended) {
		return err
	}
	return nil
}

// Watch has the sentinels watch again.
func (d *Debts) Watch(ctx context.Context, c *engine.Call, m sentinel.Monitor) error {
	if err := d.servers.Cluster.Resume(ctx, m); err != nil {
		return err
	}
	return c.Paid(ctx, migration.DebtSentinels,
		strings.Join(d.servers.Cluster.Sentinels(), ","), m.Name)
}

// Swapping has swap change the roles of a master and a peer: the master is paused and fenced
// meanwhile, which is written down first. A swap that fails half way leaves its fence until it
// is finished or taken back, because both may be masters.
func (d *Debts) Swapping(
	ctx context.Context, c *engine.Call, master Node, peer string, swap func() error,
) error {
	if err := redisconn.OwePause(ctx, master.Client, c, master.Address, "WRITE",
		sentinel.FreezeLimit); err != nil {
		return err
	}
	if err := redisconn.OweFence(ctx, master.Client, c, master.Address, peer); err != nil {
		return err
	}
	err := swap()
	if err == nil {
		err = c.Paid(ctx, migration.DebtClientPause, master.Address, "WRITE")
	}
	if fenced, lookErr := redisconn.Fenced(context.WithoutCancel(ctx),
		master.Client); lookErr != nil || fenced {
		return errors.Join(err, lookErr)
	}
	return errors.Join(err, c.Paid(ctx, migration.DebtFence, master.Address, ""))
}

// LiftEarlier waits until nothing of the given kinds is owed any more: not by this run, cut off
// before, nor by any that is over. A step whose actions build on what an earlier one has put
// on a server does not call it.
func (d *Debts) LiftEarlier(
	ctx context.Context, c *engine.Call, kinds ...migration.DebtKind,
) error {
	bounded, cancel := context.WithTimeout(ctx, ownWithin)
	defer cancel()
	return engine.Await(bounded, 500*time.Millisecond, func(ctx context.Context) error {
		owed, err := d.store.Debts(ctx, c.Run.MigrationID)
		if err != nil {
			return err
		}
		for _, debt := range owed {
			if !slices.Contains(kinds, debt.Kind) {
				continue
			}
			err := d.Lift(ctx, debt)
			if migration.KindOf(err) == migration.Conflict && err != nil {
				return err // a person decides; waiting changes nothing
			}
			if err != nil {
				return engine.NotYet("%s: %v", debt, err)
			}
			c.Log("lifted what run %s had left: %s", debt.Run, debt)
		}
		return nil
	})
}

// LiftUnheld lifts what is owed by runs that are over. What cannot be lifted stays, with why.
func (d *Debts) LiftUnheld(ctx context.Context, mid string) error {
	owed, err := d.store.Debts(ctx, mid)
	if err != nil {
		return err
	}
	for _, debt := range owed {
		if debt.Open {
			continue
		}
		if err := d.Lift(ctx, debt); err != nil {
			if debt.Held != InWords(err) && ctx.Err() == nil {
				d.log.Warn("cannot be lifted", "debt", debt.String(), "run", debt.Run, "err", err)
			}
			continue
		}
		d.log.Info("lifted", "debt", debt.String(), "run", debt.Run)
	}
	return nil
}

// Lift takes one debt off its server and strikes it out. It looks first: what is off already is
// left alone, and so is what somebody else has set since, which is a Conflict. What could not be
// lifted is noted with why.
func (d *Debts) Lift(ctx context.Context, debt migration.Debt) error {
	bounded, cancel := context.WithTimeout(ctx, liftWithin)
	defer cancel()
	if err := d.lift(bounded, debt); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.Join(err, d.store.HoldDebt(ctx, debt, InWords(err), d.now()))
	}
	return d.store.StrikeOut(ctx, debt)
}

func (d *Debts) lift(ctx context.Context, debt migration.Debt) error {
	switch debt.Kind {
	case migration.DebtFence:
		return d.liftFence(ctx, debt)
	case migration.DebtClientPause:
		return d.liftPause(ctx, debt)
	case migration.DebtQueue:
		return d.liftQueue(ctx, debt)
	case migration.DebtMove:
		return d.endedMove(ctx, debt)
	case migration.DebtSentinels:
		return d.liftSentinels(ctx, debt)
	case migration.DebtProducer:
		return d.app.At(debt.Server).DrillClose(ctx, debt.What)
	}
	return migration.Errorf(migration.Conflict, "this version does not know how to lift %q",
		debt.Kind)
}

// at gives the server of a debt: where its run_id is now, or else its address. The data of one
// at the address with another run_id is looked at all the same: it may have restarted.
func (d *Debts) at(ctx context.Context, debt migration.Debt) (Node, error) {
	n := d.servers.Old(debt.Server)
	id, err := redisconn.RunID(ctx, n.Client)
	if err == nil && (debt.ServerRun == "" || id == debt.ServerRun) {
		return n, nil
	}
	for _, other := range d.nodes(ctx, []migration.Debt{debt}) {
		if other.Address == debt.Server {
			_ = other.Close()
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, aloneFor)
		id, otherErr := redisconn.RunID(bounded, other.Client)
		cancel()
		if otherErr == nil && id == debt.ServerRun {
			_ = n.Close()
			return other, nil
		}
		_ = other.Close()
	}
	if err != nil {
		_ = n.Close()
	}
	return n, redisconn.Explain(err)
}

func (d *Debts) liftFence(ctx context.Context, debt migration.Debt) error {
	n, err := d.at(ctx, debt)
	if err != nil {
		return err
	}
	defer CloseNodes([]Node{n})
	by, err := d.superseded(ctx, n, debt.Peers)
	if err != nil {
		return err
	}
	if by != "" {
		return migration.Errorf(migration.Unavailable, "%s has taken over from it and it is a "+
			"primary still: what it would accept would be lost. It has to become a replica first",
			by)
	}
	return redisconn.LiftFence(ctx, n.Client, debt.Set, debt.Before)
}

// superseded names who has taken over from a server that is a master still; "" nobody. For a
// node of the deployment the sentinels decide, while they watch.
func (d *Debts) superseded(ctx context.Context, n Node, peers []string) (string, error) {
	clients := map[string]redis.UniversalClient{}
	var opened []Node
	defer func() { CloseNodes(opened) }()
	for _, p := range peers {
		if p != n.Address {
			opened = append(opened, d.servers.Old(p))
			clients[p] = opened[len(opened)-1].Client
		}
	}
	by, err := sentinel.Superseded(ctx, n.Client, clients)
	if by != "" || d.servers.Cluster == nil || n.Address == d.servers.StandaloneEndpoint.Address() {
		return by, err
	}
	t, sentinelErr := d.servers.Cluster.Topology(ctx)
	if sentinelErr != nil {
		return "", err
	}
	if t.Master == n.Address {
		if t.MasterFlags != "master" {
			return "", migration.Errorf(migration.Unavailable,
				"the sentinels may be replacing it: they give it the flags %s", t.MasterFlags)
		}
		return "", nil // whoever does not answer, it is not the master
	}
	facts, err := redisconn.Inspect(ctx, n.Client)
	if err != nil || facts.Role == "slave" {
		return "", err
	}
	return t.Master, nil
}

func (d *Debts) liftPause(ctx context.Context, debt migration.Debt) error {
	until, err := time.Parse(time.RFC3339Nano, debt.Set)
	if err == nil && !time.Now().Before(until) {
		return nil // it has ended by itself
	}
	n, err := d.at(ctx, debt)
	if err != nil {
		return err
	}
	defer CloseNodes([]Node{n})
	return redisconn.Explain(n.Client.Do(ctx, "CLIENT", "UNPAUSE").Err())
}

// alreadyPaused is what was before, of a queue that somebody had paused.
const alreadyPaused, running = "paused", "running"

func (d *Debts) liftQueue(ctx context.Context, debt migration.Debt) error {
	if debt.Before == alreadyPaused {
		return nil
	}
	return d.paused(ctx, debt, func(n Node, q bullmq.Queue) error {
		return bullmq.Resume(ctx, n.Client, q)
	})
}

// endedMove lifts nothing: a queue that stands still halfway may have jobs on the other side.
func (d *Debts) endedMove(ctx context.Context, debt migration.Debt) error {
	return d.paused(ctx, debt, func(Node, bullmq.Queue) error {
		return migration.Errorf(migration.Conflict, "its jobs may be on either side, which only "+
			"the step can tell: start %s again, which goes on where it stopped, and roll that run "+
			"back if the queue is to stay", debt.Step)
	})
}

// paused does something about the queue of a debt, where its data is now, if it stands still.
func (d *Debts) paused(
	ctx context.Context, debt migration.Debt, do func(Node, bullmq.Queue) error,
) error {
	n, err := d.at(ctx, debt)
	if err != nil {
		return err
	}
	defer func() { CloseNodes([]Node{n}) }()
	facts, err := redisconn.Inspect(ctx, n.Client)
	if err != nil {
		return err
	}
	if facts.Role == "slave" {
		master := d.servers.Old(net.JoinHostPort(facts.MasterHost, facts.MasterPort))
		_ = n.Close()
		n = master
	}
	at := strings.LastIndex(debt.What, ":") // a name has none, a prefix may
	if at < 0 {
		return migration.Errorf(migration.Conflict, "%q is no queue", debt.What)
	}
	q := bullmq.Queue{Prefix: debt.What[:at], Name: debt.What[at+1:]}
	counts, err := bullmq.Census(ctx, n.Client, q)
	if err != nil || !counts.Paused {
		return err
	}
	return do(n, q)
}

func (d *Debts) liftSentinels(ctx context.Context, debt migration.Debt) error {
	var was sentinel.Monitor
	if err := json.Unmarshal([]byte(debt.Before), &was); err != nil {
		return err
	}
	if d.servers.Cluster == nil {
		return ErrNoSentinel()
	}
	away := false
	for _, w := range d.servers.Cluster.Watchers(ctx) {
		switch {
		case w.Err != nil:
			return migration.Errorf(migration.Unavailable, "sentinel %s: %w", w.Addr, w.Err)
		case w.Master == "":
			away = true
		case w.Master != was.Master:
			was.Master = "" // somebody, or a failover, has changed it since
		}
	}
	switch {
	case !away:
		return nil
	case was.Master == "":
		return migration.Errorf(migration.Conflict, "some sentinels watch another primary by now "+
			"and some none: decide which is right, and have all of them monitor it")
	}
	return d.servers.Cluster.Resume(ctx, was)
}

// nodes opens every data server of the source side that is known: by the configuration, by the
// sentinels, and by what is owed.
func (d *Debts) nodes(ctx context.Context, owed []migration.Debt) []Node {
	addrs := []string{d.servers.StandaloneEndpoint.Address()}
	if d.servers.Cluster != nil {
		known, err := d.servers.Cluster.NodeAddrs(ctx)
		if err == nil {
			addrs = append(addrs, known...)
		}
	}
	for _, debt := range owed {
		if debt.Kind == migration.DebtFence || debt.Kind == migration.DebtClientPause {
			addrs = append(append(addrs, debt.Server), debt.Peers...)
		}
	}
	slices.Sort(addrs)
	var out []Node
	for _, a := range slices.Compact(addrs) {
		out = append(out, d.servers.Old(a))
	}
	return out
}

// Drop strikes a debt out without touching a server: a person has decided.
func (d *Debts) Drop(ctx context.Context, debt migration.Debt) error {
	return d.store.StrikeOut(ctx, debt)
}

// Owed lists what is owed.
func (d *Debts) Owed(ctx context.Context, mid string) ([]migration.Debt, error) {
	return d.store.Debts(ctx, mid)
}

// Forgive strikes out what a run owes and does not lift, because of why.
func (d *Debts) Forgive(ctx context.Context, c *engine.Call, why string) error {
	owed, err := d.store.Debts(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	for _, debt := range owed {
		if debt.Run != c.Run.ID {
			continue
		}
		if err := d.store.StrikeOut(ctx, debt); err != nil {
			return err
		}
		c.Log("%s: it stays so, because %s", debt, why)
	}
	return nil
}
