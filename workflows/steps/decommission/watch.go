package decommission

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const (
	// FenceWindow is the id of the action that holds the fence.
	FenceWindow = "fence-window"
	// knocksTimeout is how long clients may go on knocking before the run gives up and
	// lifts the fence.
	knocksTimeout = 30 * 24 * time.Hour
	// blindFor is how long an old server may not answer the watch before the run gives up.
	blindFor = 5 * time.Minute
	// maxKnocks bounds the list; more are counted on the entry without an address.
	maxKnocks = 200
)

// quietOutput is what the proof of quiet leaves for the fence.
type quietOutput struct {
	evidence.WatchFacts
	Events map[string]string `json:"events"` // last entry of each queue's events stream
}

// fenceOutput is what the fence's window leaves for the power-off.
type fenceOutput struct {
	evidence.WatchFacts
	Tallies map[string]redisconn.Tally `json:"tallies"` // of each server, at the window's end
}

// told lists gates that do not hold, for an error.
func told(failing []migration.Gate) string {
	var out []string
	for _, g := range failing {
		line := g.Title + ": " + g.Measured
		if g.Next != "" {
			line += " (" + g.Next + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

// vigil watches old servers.
type vigil struct {
	c        *engine.Call
	nodes    []environment.Node
	watchers []*redisconn.Watcher
	facts    evidence.WatchFacts
	fenced   bool
	writes   int64
	blind    time.Time // since when a server does not answer; zero: they do
}

// keepVigil begins to watch; a fenced server also with MONITOR, since nothing should come there.
func (s Parts) keepVigil(
	ctx context.Context,
	c *engine.Call,
	nodes []environment.Node,
	window time.Duration,
	fenced bool,
) (*vigil, error) {
	now := c.Now().UTC()
	v := &vigil{
		c:      c,
		nodes:  nodes,
		fenced: fenced,
		facts: evidence.WatchFacts{
			WindowSeconds: window.Seconds(),
			Began:         now,
			Since:         now,
			SeenAt:        now,
			Knocks:        []evidence.Knock{},
		},
	}
	for _, n := range nodes {
		w, err := redisconn.Watch(ctx, n.Client, fenced)
		if err != nil {
			v.close()
			return nil, fmt.Errorf("%s: %w", n.Address, err)
		}
		v.watchers = append(v.watchers, w)
		v.facts.Nodes = append(
			v.facts.Nodes,
			evidence.WatchedNode{Address: n.Address, Fenced: fenced},
		)
	}
	return v, nil
}

func (v *vigil) close() {
	for _, w := range v.watchers {
		w.Close()
	}
}

// look looks at every server once. A visit begins the window anew; so does a moment in
// which a server could not be looked at.
func (v *vigil) look(ctx context.Context) error {
	now := v.c.Now().UTC()
	v.facts.SeenAt = now
	for i := range v.facts.Knocks {
		v.facts.Knocks[i].Connected = false
	}
	blind := error(nil)
	for i, w := range v.watchers {
		address := v.nodes[i].Address
		l, err := w.Look(ctx)
		if err == nil && v.fenced {
			var on bool
			if on, err = redisconn.Fenced(ctx, v.nodes[i].Client); err == nil && !on {
				return migration.Errorf(
					migration.Conflict,
					"%s takes writes again: somebody lifted its fence, or it restarted without a "+
						"configuration file to keep it in",
					address,
				)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			blind = fmt.Errorf("%s: %w", address, err)
			continue
		}
		v.facts.Nodes[i].Unseen = l.Unseen
		if l.Restarted {
			v.facts.Since = now
			v.c.Warn(
				"%s restarted: what came before its start is not known, so the window starts again",
				address,
			)
		}
		v.writes += max(l.Writes, 0)
		for _, visit := range l.Visits {
			v.facts.Since = now
			v.knock(address, visit, now)
		}
	}
	if blind == nil {
		v.blind = time.Time{}
		return nil
	}
	v.facts.Since = now
	if v.blind.IsZero() {
		v.blind = now
		v.c.Warn("a server cannot be watched, so the window starts again: %v", blind)
	}
	if now.Sub(v.blind) > blindFor {
		return fmt.Errorf("it could not be watched for %s: %w", blindFor, blind)
	}
	return nil
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// knock takes a visit in.
func (v *vigil) knock(address string, visit redisconn.Visit, now time.Time) {
	i := slices.IndexFunc(v.facts.Knocks, func(k evidence.Knock) bool {
		return k.Node == address && host(k.Addr) == host(visit.Addr) && k.Name == visit.Name
	})
	if i < 0 && len(v.facts.Knocks) >= maxKnocks && visit.Addr != "" {
		v.knock(
			address,
			redisconn.Visit{
				Connections: visit.Connections,
				Refused:     visit.Refused,
				Client:      redisconn.Client{Cmd: visit.Cmd},
			},
			now,
		)
		return
	}
	if i < 0 {
		i = len(v.facts.Knocks)
		v.facts.Knocks = append(
			v.facts.Knocks,
			evidence.Knock{Node: address, Name: visit.Name, FirstSeen: now},
		)
		k := evidence.Knock{Addr: visit.Addr, Name: visit.Name}
		v.c.Warn("%s uses %s: last command %s", k.Who(), address, cmp.Or(visit.Cmd, "not seen"))
	}
	k := &v.facts.Knocks[i]
	k.Addr, k.User, k.Library, k.Command = visit.Addr, cmp.Or(
		visit.User,
		k.User,
	), cmp.Or(
		visit.Library,
		k.Library,
	), cmp.Or(
		visit.Cmd,
		k.Command,
	)
	k.Times, k.Refused, k.LastSeen = k.Times+visit.Connections, k.Refused+visit.Refused, now
	k.Connected = visit.Connected
}

// every is how often a window of some length is looked at.
func every(window time.Duration) time.Duration {
	return min(max(window/50, 200*time.Millisecond), 2*time.Second)
}

// saveEvery bounds how often the page's figures are written while nothing happens.
const saveEvery = 5 * time.Second

// holdFence watches the fenced servers until nobody has knocked for a whole window. Who
// knocks is shown, and begins the window anew.
func (s Parts) holdFence(ctx context.Context, c *engine.Call, window time.Duration) (any, error) {
	_, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes(nodes)
	v, err := s.keepVigil(ctx, c, nodes, window, true)
	if err != nil {
		return nil, err
	}
	defer v.close()
	var before fenceOutput
	if ok, err := c.Output(ctx, c.Action, &before); err != nil {
		return nil, err
	} else if ok { // cut off: nobody watched meanwhile, so the window starts again, and who knocked stays known
		v.facts.Began, v.facts.Knocks = before.Began, before.Knocks
		c.Log("the watch was interrupted: the window starts again")
	}
	tick := time.NewTicker(every(window))
	defer tick.Stop()
	var saved time.Time
	for knocks := ""; ; {
		if err := v.look(ctx); err != nil {
			return nil, err
		}
		out := fenceOutput{WatchFacts: v.facts}
		if v.facts.SeenAt.Sub(v.facts.Since) >= window {
			out.Over = true
			if out.Tallies, err = tallies(ctx, nodes); err != nil {
				return nil, err
			}
			// Who came between the look and the tally would be in neither.
			if err := v.look(ctx); err != nil {
				return nil, err
			}
			if v.facts.Since.After(out.SeenAt) {
				continue
			}
			if err := c.Remember(ctx, out); err != nil {
				return nil, err
			}
			c.Log(
				"no connection attempt for %s; before that: %s",
				migration.Words(window),
				migration.Count(len(out.Knocks), "client"),
			)
			return out, c.Prove(
				ctx,
				evidence.Fence,
				migration.Observed,
				"CLIENT LIST, MONITOR and the servers' own counts of refused commands",
				out.WatchFacts,
			)
		}
		if now := fmt.Sprint(v.facts.Knocks); now != knocks ||
			v.facts.SeenAt.Sub(saved) >= saveEvery {
			saved, knocks = v.facts.SeenAt, now
			if err := c.Remember(ctx, out); err != nil {
				return nil, err
			}
			c.Progress("%s", fenceProgress(v.facts))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func fenceProgress(f evidence.WatchFacts) string {
	var there []string
	for _, k := range f.Knocks {
		if k.Connected {
			there = append(there, k.Who())
		}
	}
	if len(there) > 0 {
		return fmt.Sprintf(
			"still there, so the window does not begin: %s",
			strings.Join(there, ", "),
		)
	}
	return fmt.Sprintf(
		"no connection attempt for %s; the window ends at %s UTC",
		migration.Words(f.SeenAt.Sub(f.Since).Truncate(time.Second)),
		f.Ends().Format(time.DateTime),
	)
}

func tallies(ctx context.Context, nodes []environment.Node) (map[string]redisconn.Tally, error) {
	out := map[string]redisconn.Tally{}
	for _, n := range nodes {
		t, err := redisconn.Count(ctx, n.Client)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Address, err)
		}
		out[n.Address] = t
	}
	return out, nil
}

// fenceHolds: the window passed, every server refuses writes, and nobody has tried since
// the window's end, when nobody watched any more.
func (s Parts) fenceHolds(ctx context.Context, c *engine.Call) []migration.Gate {
	// not in plans of earlier versions
	windowed := slices.ContainsFunc(
		c.Run.Plan.Actions,
		func(a migration.ActionPlan) bool { return a.ID == FenceWindow },
	)
	window := migration.Claim{
		ID:    FenceWindow,
		Title: "No connection attempt for a whole window, nor since",
		Limit: "nobody",
		Next: "find out who it is, cancel this run and start it again: its window names who " +
			"connects",
		Asked: migration.Coverage{Of: "old server", Found: "the run's release"},
	}
	fenced := migration.Claim{
		ID:    "fence",
		Title: "Every old server refuses writes",
		Limit: "fenced",
		Next:  "cancel this run and start it again",
		Asked: window.Asked,
	}
	var out fenceOutput
	if ok, err := c.Output(ctx, FenceWindow, &out); windowed && (err != nil || !ok || !out.Over) {
		window.Measured = "the window is not over"
		return []migration.Gate{window.About("window", FenceWindow, false, nil)}
	}
	_, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return []migration.Gate{window.About("window", FenceWindow, false, environment.Told(err))}
	}
	defer environment.CloseNodes(nodes)
	for _, n := range nodes {
		server := migration.Member{Key: "server:" + n.Address, Name: n.Address}
		fenced.Asked.Members = append(fenced.Asked.Members, fencedNow(ctx, n, server))
		if windowed {
			window.Asked.Members = append(window.Asked.Members,
				untouched(ctx, n, server, out.Tallies[n.Address]))
		}
	}
	if !windowed {
		return []migration.Gate{fenced.Gate()}
	}
	if window.Asked.Verdict() == migration.Met {
		window.Measured = "nobody since " + out.Since.UTC().Format(time.DateTime) + " UTC"
	}
	return []migration.Gate{fenced.Gate(), window.Gate()}
}

func fencedNow(
	ctx context.Context, n environment.Node, m migration.Member,
) migration.Member {
	on, err := redisconn.Fenced(ctx, n.Client)
	switch {
	case err != nil:
		m.Why = redisconn.Explain(err).Error()
	case !on:
		m.Verdict, m.Why = migration.Unmet, "takes writes"
	default:
		m.Verdict = migration.Met
	}
	return m
}

// untouched: nobody has connected since the window's end.
func untouched(
	ctx context.Context, n environment.Node, m migration.Member, before redisconn.Tally,
) migration.Member {
	now, err := redisconn.Count(ctx, n.Client)
	if err != nil {
		m.Why = redisconn.Explain(err).Error()
		return m
	}
	m.Verdict = migration.Met
	if came := now.Since(before); len(came) > 0 {
		m.Verdict, m.Why = migration.Unmet, strings.Join(came, "; ")
	}
	return m
}
