package environment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
)

// World looks at what evidence is about: which servers are there, in which run and role, which
// builds of the app, which configuration. What was last seen is stored, so that it is known
// after a restart, and since when.
type World struct {
	servers *Servers
	workers *Workers
	store   *store.Store
	setup   []string
	now     func() time.Time
	log     *slog.Logger

	mu sync.Mutex // of reading, changing and storing it
}

func worldSetting(mid string) string { return "world:" + mid }

// Known gives the world as it was last seen.
func (w *World) Known(ctx context.Context, mid string) (migration.World, error) {
	var out migration.World
	_, err := w.store.Setting(ctx, worldSetting(mid), &out)
	return out, err
}

// lookFor bounds one look.
const lookFor = 3 * time.Second

// Look looks at every aspect. One that cannot be looked at stays as it was and grows old, which
// makes what is about it unknown; an error is one of the database.
func (w *World) Look(ctx context.Context, mid string) error {
	_, err := w.look(ctx, mid, slices.Collect(maps.Keys(migration.Empty())), time.Time{})
	return err
}

// Subject looks at some aspects and gives those that could be looked at, for who looks since
// from (World.Subject).
func (w *World) Subject(
	ctx context.Context, mid string, aspects []migration.Aspect, from time.Time,
) (migration.Subject, error) {
	return w.look(ctx, mid, aspects, from)
}

func (w *World) look(
	ctx context.Context, mid string, aspects []migration.Aspect, from time.Time,
) (migration.Subject, error) {
	seen := migration.Subject{}
	if len(aspects) == 0 {
		return seen, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before, err := w.Known(ctx, mid)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	members, errs := make([][]string, len(aspects)), make([]error, len(aspects))
	var all sync.WaitGroup
	for i, a := range aspects {
		all.Go(func() { members[i], errs[i] = w.members(bounded, mid, a, before) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, a := range aspects {
		if errs[i] != nil {
			w.log.Debug("cannot look", "at", a.Title(), "err", errs[i])
			continue
		}
		seen[a] = members[i]
	}
	after := before.Look(w.now(), seen)
	return after.Subject(slices.Collect(maps.Keys(seen)), from),
		w.store.SetSetting(ctx, worldSetting(mid), after)
}

// members looks at one aspect.
func (w *World) members(
	ctx context.Context, mid string, a migration.Aspect, before migration.World,
) ([]string, error) {
	switch a {
	case migration.AspectSource, migration.AspectNodes:
		nodes, err := w.source(ctx, mid, a == migration.AspectSource)
		if migration.KindOf(err) == migration.NotFound {
			return before[a].Members, nil // it was released: there is nothing that could change
		}
		return nodes, err
	case migration.AspectTarget:
		return w.target(ctx)
	case migration.AspectDatabase:
		id, err := w.servers.TargetID(ctx)
		if err != nil || id == "" {
			return nil, err
		}
		return []string{"database " + id}, nil
	case migration.AspectApp:
		return w.builds(mid)
	case migration.AspectProducers:
		if !w.workers.Warm() {
			return nil, errColdFleet
		}
		facts := w.workers.Producers(mid)
		return AttestedQueues(facts), nil
	case migration.AspectSetup:
		return w.setup, nil
	}
	return nil, fmt.Errorf("nobody knows how to look at %s", a)
}

var errColdFleet = migration.Errorf(migration.Unavailable,
	"Switchyard has just started, and workers get a few seconds to report")

// source names every server behind the source side with its database and run, and its role
// when asked for.
func (w *World) source(ctx context.Context, mid string, roles bool) ([]string, error) {
	nodes, err := w.servers.SourceNodes(ctx, mid)
	if err != nil {
		return nil, err
	}
	defer CloseNodes(nodes)
	var out []string
	for _, n := range nodes {
		id, role, err := identify(ctx, n.Client)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Address, redisconn.Explain(err))
		}
		text := n.Address + "/" + database(n.Client)
		if roles {
			text += " " + role
		}
		out = append(out, text+" run "+id)
	}
	return out, nil
}

// target names the managed database; nobody before it is provisioned.
func (w *World) target(ctx context.Context) ([]string, error) {
	id, err := w.servers.TargetID(ctx)
	if err != nil || id == "" {
		return nil, err
	}
	c, endpoint, err := w.servers.Target(ctx)
	if err != nil {
		return nil, err
	}
	run, _, err := identify(ctx, c)
	if err != nil {
		return nil, redisconn.Explain(err)
	}
	return []string{fmt.Sprintf("database %s at %s/%s run %s", id, endpoint.Address(),
		database(c), cmp.Or(run, "not told"))}, nil
}

// identify gives a server's run id, "" where it tells none, and its role.
func identify(ctx context.Context, c redis.UniversalClient) (run, role string, err error) {
	text, err := c.Info(ctx, "server", "replication").Result()
	if err != nil { // Redis before 7 takes one section
		if text, err = c.Info(ctx).Result(); err != nil {
			return "", "", err
		}
	}
	info := redisconn.ParseInfo(text)
	role = "replica"
	if info["role"] == "master" {
		role = "primary"
	}
	return info["run_id"], role, nil
}

// database is the number of the database that a client uses.
func database(c redis.UniversalClient) string {
	if one, ok := c.(*redis.Client); ok {
		return fmt.Sprint(one.Options().DB)
	}
	return "0"
}

// builds names the builds of the apps that attest to this migration's flags.
func (w *World) builds(mid string) ([]string, error) {
	if !w.workers.Warm() {
		return nil, errColdFleet
	}
	var out []string
	for _, l := range w.workers.Fleet.Workers() {
		var a fleet.Attestation
		if l.Set != mid || !l.Live || len(l.Attestation) == 0 {
			continue
		}
		if err := json.Unmarshal(l.Attestation, &a); err != nil {
			return nil, err
		}
		out = append(out, strings.Join([]string{a.Service, cmp.Or(a.Version, "without a version"),
			"bullmq", cmp.Or(a.BullMQ, "not told")}, " "))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// setup names what of the configuration decides what is tried and judged.
func setup(cfg config.Config) []string {
	var out []string
	for _, q := range cfg.Queues {
		out = append(out, "queue "+q)
	}
	out = append(out, "order deadline "+migration.Words(cfg.Migration.OrderDeadline))
	for q, d := range cfg.Migration.OrderDeadlines {
		out = append(out, "order deadline of "+q+" "+migration.Words(d))
	}
	for _, p := range cfg.Providers {
		out = append(out, strings.TrimSuffix("sender "+p.ID+" "+p.Variant, " "))
	}
	return out
}
