package decommission

import (
	"cmp"
	"context"
	"fmt"
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
	if err := s.Journal.AwaitRead(ctx); err != nil {
		return nil, err
	}
	v.facts.Findings = append(v.facts.Findings, s.Journal.ClosedGate())
	v.facts.Over = len(migration.Failing(v.facts.Findings)) == 0
	out := quietOutput{v.facts, events}
	if err := c.Remember(ctx, out); err != nil { // the page shows it also when it failed
		return nil, err
	}
	if v.facts.Over {
		c.Log("nobody used %s for %s", migration.Count(len(nodes), "server"), migration.Words(window))
	}
	if err := c.Prove(ctx, evidence.Quiet, migration.Observed, "CLIENT LIST, the servers' own "+
		"counts of commands and writes, every queue and its events", v.facts); err != nil {
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
		if !until.IsZero() && now.After(until) {
			return nil
		}
		if quiet := now.Sub(v.facts.Since); until.IsZero() && quiet >= window {
			// An app that restarts, or a process of ours that has just started and still reads
			// the journal, is no reason to lose the window: the watch goes on meanwhile.
			_, err := s.Journal.Read()
			if err == nil || quiet >= window+blindFor {
				return nil
			}
			c.Progress("nobody used the servers; waiting for the order ledger: %v", err)
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
	clients := migration.Claim{
		ID:       "clients",
		Title:    "Nobody but Switchyard is connected or sends commands",
		Limit:    "nobody",
		Measured: "nobody",
		Next: "stop these apps or point them at the target, then start the decommission " +
			"again",
	}
	var who []string
	for _, k := range v.facts.Knocks {
		who = append(who, fmt.Sprintf("%s on %s (user %s, last command %s%s)", k.Who(), k.Node,
			cmp.Or(k.User, "not seen"), cmp.Or(k.Command, "not seen"),
			strings.TrimSuffix(", "+k.Library, ", ")))
	}
	if len(who) > 0 {
		clients.Measured = strings.Join(who, ", ")
	}
	writes := migration.Claim{
		ID:       "writes",
		Title:    "No write",
		Limit:    "0 writes",
		Measured: fmt.Sprintf("%d writes", v.writes),
		Next:     "find out who wrote: the clients above, or a job of the machine itself",
	}
	const of, all = "old servers", "all that the run released"
	return []migration.Gate{
		clients.About(of, all, len(who) == 0, nil), writes.About(of, all, v.writes == 0, nil),
	}
}

// events gives the last entry of each queue's events stream, in every database of the
// server; "" where there is none.
func (s Parts) events(
	ctx context.Context,
	c *engine.Call,
	source redis.UniversalClient,
) (map[string]string, error) {
	last := map[string]string{}
	err := redisconn.EachDatabase(ctx, source, func(
		db int, own bool, c redis.UniversalClient,
	) error {
		others, err := s.Servers.OtherQueues(ctx, c)
		if err != nil {
			return err
		}
		for _, q := range slices.Concat(s.Servers.Queues, others) {
			entries, err := c.XRevRangeN(ctx, q.Key("events"), "+", "-", 1).Result()
			if err != nil {
				return fmt.Errorf("events of %s: %w", q, redisconn.Explain(err))
			}
			name := q.String()
			if !own {
				name = fmt.Sprintf("%s in database %d", q, db)
			}
			last[name] = ""
			if len(entries) > 0 {
				last[name] = entries[0].ID
			}
		}
		return nil
	})
	return last, err
}

// cameSince: no queue holds a job, and no queue's events went on.
func (s Parts) cameSince(
	ctx context.Context,
	c *engine.Call,
	source redis.UniversalClient,
	before map[string]string,
) []migration.Gate {
	claim := migration.Claim{
		ID:       "events",
		Title:    "No new events in any queue",
		Limit:    "no new entry",
		Measured: fmt.Sprintf("%d streams, no new entry", len(before)),
		Next:     "an app still adds or runs jobs there: stop it, and move what it added",
	}
	after, err := s.events(ctx, c, source)
	var grew []string
	for q, id := range after {
		if id != before[q] {
			grew = append(grew, fmt.Sprintf("%s (%s)", q, id))
		}
	}
	slices.Sort(grew)
	if len(grew) > 0 {
		claim.Measured = "new entries in " + strings.Join(grew, ", ")
	}
	if err != nil {
		claim.Next = "make sure that the source answers, then look again"
	}
	g := claim.About("server", "the source", len(grew) == 0, environment.Told(err))
	if progress.GateRemoved(progress.GateResidue) {
		return []migration.Gate{g}
	}
	left := nothingLeft(s.Servers.ResidueOn(ctx, source))
	return []migration.Gate{left.Waive(c.Run.Plan.Waivers(), c.Now()), g}
}
