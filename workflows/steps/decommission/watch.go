package decommission

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
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
					"%s takes writes again: somebody lifted its fence, or it restarted without a configuration file to keep it in",
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
				"nobody knocked for %s; before that %d clients did",
				migration.Words(window),
				len(out.Knocks),
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
		"nobody knocked for %s; the window ends at %s UTC",
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
	window := migration.Gate{
		ID:    FenceWindow,
		Title: "Nobody knocked for a whole window, nor since",
		Limit: "nobody",
		Next:  "find out who it is, cancel this run and start it again: its window names who knocks",
	}
	fenced := migration.Gate{
		ID:    "fence",
		Title: "Every old server refuses writes",
		Limit: "fenced",
		Next:  "cancel this run and start it again",
	}
	var out fenceOutput
	if ok, err := c.Output(ctx, FenceWindow, &out); windowed && (err != nil || !ok || !out.Over) {
		window.Measured = "the window is not over"
		return []migration.Gate{window}
	}
	_, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		window.Measured = err.Error()
		return []migration.Gate{window}
	}
	defer environment.CloseNodes(nodes)
	var came, open []string
	for _, n := range nodes {
		if on, err := redisconn.Fenced(ctx, n.Client); err != nil {
			open = append(open, fmt.Sprintf("%s: %v", n.Address, redisconn.Explain(err)))
		} else if !on {
			open = append(open, n.Address+" takes writes")
		}
		if !windowed {
			continue
		}
		now, err := redisconn.Count(ctx, n.Client)
		if err != nil {
			came = append(came, fmt.Sprintf("%s: %v", n.Address, redisconn.Explain(err)))
			continue
		}
		for _, what := range now.Since(out.Tallies[n.Address]) {
			came = append(came, n.Address+": "+what)
		}
	}
	if fenced.OK = len(open) == 0; fenced.OK {
		fenced.Measured, fenced.Next = fmt.Sprintf("%d of %d", len(nodes), len(nodes)), ""
	} else {
		fenced.Measured = strings.Join(open, "; ")
	}
	if !windowed {
		return []migration.Gate{fenced}
	}
	if window.OK = len(came) == 0; window.OK {
		window.Measured, window.Next = "nobody since "+out.Since.UTC().
			Format(time.DateTime)+
			" UTC", ""
	} else {
		window.Measured = strings.Join(came, "; ")
	}
	return []migration.Gate{fenced, window}
}

// proveQuiet watches the servers for a window while they would still take writes. Whoever
// uses them ends it, since what they put there would be lost; everything that is not as it
// should be is listed.
func (s Parts) proveQuiet(ctx context.Context, c *engine.Call, window time.Duration) (any, error) {
	old, nodes, err := s.oldNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes(nodes)
	var master redis.UniversalClient
	for _, n := range nodes {
		if n.Address == old.Master {
			master = n.Client
		}
	}
	if master == nil {
		return nil, migration.Errorf(
			migration.Conflict,
			"the master %s is none of the old servers %v",
			old.Master,
			old.Address,
		)
	}
	// A worker that is just closing its connections is no user. After that the window
	// starts, and any use is a finding.
	settled, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.Streams.AwaitLeft(settled, c.Run.MigrationID); err != nil {
		return nil, err
	}
	// who stays is found below, with everything else
	_ = engine.Await(settled, 500*time.Millisecond, func(ctx context.Context) error {
		for _, n := range nodes {
			clients, err := redisconn.ForeignClients(ctx, n.Client)
			if err != nil {
				return engine.NotYet("%v", err)
			}
			if len(clients) > 0 {
				c.Progress("waiting for %s to leave %s", clients[0].Addr, n.Address)
				return engine.NotYet("%s is connected", clients[0].Addr)
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	events, err := s.events(ctx, c, master)
	if err != nil {
		return nil, err
	}
	v, err := s.keepVigil(ctx, c, nodes, window, false)
	if err != nil {
		return nil, err
	}
	defer v.close()
	if err := s.watchQuiet(ctx, c, v, window); err != nil {
		return nil, err
	}
	v.facts.Findings = append(v.use(), s.cameSince(ctx, c, master, events)...)
	v.facts.Findings = append(v.facts.Findings, s.Journal.ClosedGate())
	v.facts.Over = len(migration.Failing(v.facts.Findings)) == 0
	out := quietOutput{v.facts, events}
	if err := c.Remember(ctx, out); err != nil { // the page shows it also when it failed
		return nil, err
	}
	if v.facts.Over {
		c.Log("nobody used %d servers for %s", len(nodes), migration.Words(window))
	}
	if err := c.Prove(ctx, evidence.Quiet, migration.Observed, "CLIENT LIST, the servers' own counts of commands and writes, every queue and its events", v.facts); err != nil {
		return nil, fmt.Errorf(
			"the old servers are not quiet: %s",
			told(migration.Failing(v.facts.Findings)),
		)
	}
	return out, nil
}

// watchQuiet looks until the window is over or, once somebody was seen, for a little
// longer, so that all are named and not the first alone.
func (s Parts) watchQuiet(
	ctx context.Context,
	c *engine.Call,
	v *vigil,
	window time.Duration,
) error {
	c.Progress("watching %d servers for %s", len(v.nodes), migration.Words(window))
	tick := time.NewTicker(every(window))
	defer tick.Stop()
	var until time.Time
	var saved time.Time
	for {
		if err := v.look(ctx); err != nil {
			return err
		}
		now := v.facts.SeenAt
		if until.IsZero() && (len(v.facts.Knocks) > 0 || v.writes > 0) {
			until = now.Add(min(window/4, 10*time.Second))
		}
		if !until.IsZero() && now.After(until) ||
			until.IsZero() && now.Sub(v.facts.Since) >= window {
			return nil
		}
		if now.Sub(saved) >= saveEvery {
			saved = now
			if err := c.Remember(ctx, quietOutput{WatchFacts: v.facts}); err != nil {
				return err
			}
			c.Progress(
				"%d servers quiet for %s of %s",
				len(v.nodes),
				migration.Words(now.Sub(v.facts.Since).Truncate(time.Second)),
				migration.Words(window),
			)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// use says whether anybody used the servers.
func (v *vigil) use() []migration.Gate {
	clients := migration.Gate{
		ID:       "clients",
		Title:    "Nobody but Switchyard is connected or sends commands",
		Limit:    "nobody",
		OK:       len(v.facts.Knocks) == 0,
		Measured: "nobody",
	}
	if !clients.OK {
		var who []string
		for _, k := range v.facts.Knocks {
			who = append(
				who,
				fmt.Sprintf(
					"%s on %s (user %s, last command %s%s)",
					k.Who(),
					k.Node,
					cmp.Or(k.User, "not seen"),
					cmp.Or(k.Command, "not seen"),
					strings.TrimSuffix(", "+k.Library, ", "),
				),
			)
		}
		clients.Measured, clients.Next = strings.Join(
			who,
			", ",
		), "stop these apps or point them at the target, then start the decommission again"
	}
	writes := migration.Gate{
		ID:       "writes",
		Title:    "No write",
		Limit:    "0 writes",
		OK:       v.writes == 0,
		Measured: fmt.Sprintf("%d writes", v.writes),
	}
	if !writes.OK {
		writes.Next = "find out who wrote: the clients above, or a job of the machine itself"
	}
	return []migration.Gate{clients, writes}
}

// events gives the last entry of each queue's events stream; "" where there is none.
func (s Parts) events(
	ctx context.Context,
	c *engine.Call,
	source redis.UniversalClient,
) (map[string]string, error) {
	others, err := s.Servers.OtherQueues(ctx, source)
	if err != nil {
		return nil, err
	}
	last := map[string]string{}
	for _, q := range slices.Concat(s.Servers.Queues, others) {
		entries, err := source.XRevRangeN(ctx, q.Key("events"), "+", "-", 1).Result()
		if err != nil {
			return nil, fmt.Errorf("events of %s: %w", q, redisconn.Explain(err))
		}
		last[q.String()] = ""
		if len(entries) > 0 {
			last[q.String()] = entries[0].ID
		}
	}
	return last, nil
}

// cameSince: no queue holds a job, and no queue's events went on.
func (s Parts) cameSince(
	ctx context.Context,
	c *engine.Call,
	source redis.UniversalClient,
	before map[string]string,
) []migration.Gate {
	g := migration.Gate{
		ID:       "events",
		Title:    "No queue's events went on",
		Limit:    "no new entry",
		Measured: fmt.Sprintf("%d streams, no new entry", len(before)),
	}
	after, err := s.events(ctx, c, source)
	var grew []string
	for q, id := range after {
		if id != before[q] {
			grew = append(grew, fmt.Sprintf("%s (%s)", q, id))
		}
	}
	slices.Sort(grew)
	switch {
	case err != nil:
		g.Measured, g.Next = err.Error(), "make sure that the source answers, then look again"
	case len(grew) > 0:
		g.Measured, g.Next = "new entries in "+strings.Join(
			grew,
			", ",
		), "an app still adds or runs jobs there: stop it, and move what it added"
	default:
		g.OK = true
	}
	if progress.GateRemoved(progress.GateResidue) {
		return []migration.Gate{g}
	}
	return []migration.Gate{nothingLeft(s.Servers.ResidueOn(ctx, source)), g}
}
