package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/store"
)

// Estate is everything outside that a migration touches, as the configuration describes it: the servers on both sides, the hosting and
// managed services, the ingestion app, and the flags that tell workers where to go. It opens connections lazily and keeps no credential of
// its own: the target's comes from the managed service's API each time the process starts.
type Estate struct {
	cfg       config.Config
	store     *store.Store
	holder    *flags.Holder
	queues    []bullmq.Queue
	upstash   *upstash.Client
	linode    *linode.Client
	heroku    *heroku.Client
	ingestion *ingestion.Client
	workers   *fleet.Fleet
	ledger    *tail
	streams   atomic.Pointer[ledger.Streams] // of the leader; nil elsewhere
	log       *slog.Logger
	now       func() time.Time
	notify    func(topic string)
	surveys   *surveys
	meters    *meters
	stop      context.CancelFunc // of what goes on in the background

	standaloneEndpoint, sentinelEndpoint redisconn.Endpoint
	standalone, failover                 redis.UniversalClient
	cluster                              *sentinel.Cluster

	mu             sync.Mutex
	target         redis.UniversalClient
	targetEndpoint redisconn.Endpoint

	seen measured
	// settle is how long to wait between two looks for what a request of unknown outcome has done; 0: the client's own.
	settle time.Duration
}

func openEstate(cfg config.Config, st *store.Store, r Readers, log *slog.Logger, now func() time.Time) (*Estate, error) {
	hc := &http.Client{Timeout: 15 * time.Second}
	e := &Estate{cfg: cfg, store: st, holder: r.Flags, workers: r.Fleet, log: log, now: now, notify: func(string) {},
		upstash:            upstash.New(cfg.Target.Upstash.API, cfg.Target.Upstash.Email, cfg.Target.Upstash.APIKey, hc),
		heroku:             heroku.New(cfg.Heroku.API, cfg.Heroku.Token, hc),
		ingestion:          ingestion.New(cfg.Ingestion.URL, cfg.Ingestion.Token, hc),
		standaloneEndpoint: redisconn.Endpoint{Name: "standalone", Kind: redisconn.Standalone, URL: cfg.Source.Standalone.URL},
	}
	for _, q := range cfg.Queues {
		e.queues = append(e.queues, bullmq.Queue{Prefix: "bull", Name: q})
	}
	e.meters = &meters{all: map[string]*meter{}}
	e.ledger = newTail(e.ingestion, log, now)
	background, stop := context.WithCancel(context.Background())
	e.surveys, e.stop = newSurveys(background, now), stop
	var err error
	if e.linode, err = linode.New(cfg.Linode.API, cfg.Linode.Token, hc); err != nil {
		return nil, err
	}
	if e.standalone, err = redisconn.Open(e.standaloneEndpoint); err != nil {
		return nil, fmt.Errorf("source.standalone: %w", err)
	}
	if s := cfg.Source.Sentinel; len(s.Addrs) > 0 {
		e.sentinelEndpoint = redisconn.Endpoint{Name: "sentinel", Kind: redisconn.Sentinel, SentinelAddrs: s.Addrs, MasterName: s.Master,
			Username: s.Username, Password: s.Password, SentinelUsername: s.SentinelUsername, SentinelPassword: s.SentinelPassword, CAFile: s.CAFile}
		if e.failover, err = redisconn.Open(e.sentinelEndpoint); err != nil {
			return nil, fmt.Errorf("source.sentinel: %w", err)
		}
		e.cluster = sentinel.New(e.sentinelEndpoint)
		e.cluster.Zones = s.Zones()
		e.cluster.Followers = []string{e.standaloneEndpoint.Address()} // it follows the new master once the queues have moved
	}
	return e, nil
}

func (e *Estate) close() {
	e.stop()
	var errs []error
	errs = append(errs, e.standalone.Close())
	if e.cluster != nil {
		errs = append(errs, e.failover.Close())
		e.cluster.Close()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.target != nil {
		errs = append(errs, e.target.Close())
	}
	_ = errors.Join(errs...) // connections of a process that ends
}

// targetSetting is what is remembered of the managed database; its credentials are not.
const targetSetting = "target"

type targetRef struct {
	DatabaseID string `json:"database_id"`
}

// Source gives the server that the flags name as the source side now. NotFound once they name none.
func (e *Estate) Source(ctx context.Context, mid string) (redis.UniversalClient, redisconn.Endpoint, error) {
	r, err := e.Routing(ctx, mid)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	switch {
	case r.Source == migration.SourceStandalone:
		return e.standalone, e.standaloneEndpoint, nil
	case r.Source == migration.SourceSentinel && e.cluster != nil:
		return e.failover, e.sentinelEndpoint, nil
	}
	return nil, redisconn.Endpoint{}, migration.Errorf(migration.NotFound, "the flags name no source server any more")
}

// Target gives the managed database, asking its provider for the credentials the first time. NotFound before it is provisioned.
func (e *Estate) Target(ctx context.Context) (redis.UniversalClient, redisconn.Endpoint, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.target != nil {
		return e.target, e.targetEndpoint, nil
	}
	var ref targetRef
	ok, err := e.store.Setting(ctx, targetSetting, &ref)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	if !ok {
		return nil, redisconn.Endpoint{}, migration.Errorf(migration.NotFound, "the managed Redis is not provisioned yet: run the step Provision the managed Redis")
	}
	db, err := e.upstash.Get(ctx, ref.DatabaseID, true)
	if err != nil {
		return nil, redisconn.Endpoint{}, migration.Errorf(migration.Unavailable, "the managed service's API did not tell the database's address: %w", err)
	}
	endpoint := redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: db.URL(), CAFile: e.cfg.Target.Upstash.CAFile}
	c, err := redisconn.Open(endpoint)
	if err != nil {
		return nil, redisconn.Endpoint{}, err
	}
	e.target, e.targetEndpoint = c, endpoint
	return c, endpoint, nil
}

// Routing reads what the flags say.
func (e *Estate) Routing(ctx context.Context, mid string) (migration.Routing, error) {
	r, _, err := e.routingSince(ctx, mid)
	return r, err
}

// routingSince also gives when the stage was last changed.
func (e *Estate) routingSince(ctx context.Context, mid string) (r migration.Routing, since time.Time, err error) {
	now, err := e.store.FlagSetRevision(ctx, mid, 0)
	if migration.KindOf(err) == migration.NotFound && err != nil {
		return migration.Routing{Stage: migration.StageOff, Source: migration.SourceStandalone}, since, nil
	}
	if err != nil {
		return r, since, err
	}
	doc, err := flags.Parse(now.Definition)
	if err != nil {
		return r, since, err
	}
	r = flags.ReadRouting(doc, e.cfg.Queues[0])
	r.Revision = now.Revision
	since, err = e.flagTime(ctx, mid, flags.RevisionOf(doc.Flags[migration.StageFlag(e.cfg.Queues[0])]))
	return r, since, err
}

// setRouting writes the routing as one revision of the flag set and serves it. The revision is what workers must acknowledge.
func (e *Estate) setRouting(ctx context.Context, mid string, r migration.Routing, actor, reason, runID string) (int64, error) {
	revision, err := e.store.ReviseFlagSet(ctx, mid, 0, func(now json.RawMessage, next int64) (json.RawMessage, error) {
		before := &flags.Document{}
		if now != nil {
			var err error
			if before, err = flags.Parse(now); err != nil {
				return nil, err
			}
		}
		after := before.Clone()
		if after.Flags == nil {
			after.Flags = map[string]flags.Flag{}
		}
		after.Flags[migration.FlagSource] = flags.SourceFlag(r.Source)
		for _, q := range e.cfg.Queues {
			maps.Copy(after.Flags, flags.RoutingFlags(q, r))
		}
		if now == nil {
			before = nil
		}
		if after = flags.Revise(mid, before, after, next); after == nil {
			return now, nil
		}
		return after.JSON(), nil
	}, actor, reason, runID, e.now())
	if err != nil {
		return 0, err
	}
	return revision.Revision, e.serveFlags(ctx)
}

// serveFlags publishes the stored flag sets to their readers.
func (e *Estate) serveFlags(ctx context.Context) error {
	sets, err := e.store.FlagSets(ctx, "")
	if err != nil {
		return err
	}
	changed := false
	for _, s := range sets {
		if held, ok := e.holder.Held(s.ID); s.Revision == 0 || ok && held.Revision == s.Revision && !e.holder.Unsaved() {
			continue
		}
		now, err := e.store.FlagSetRevision(ctx, s.ID, 0)
		if err != nil {
			return err
		}
		switch err := e.holder.Replace(flags.Set{ID: s.ID, Revision: now.Revision, Definition: now.Definition}); {
		case errors.Is(err, flags.ErrNotSaved):
			e.log.Error("the flags are in force, but their last known good copy is not on disk", "err", err) // a full disk must not stop a move back
		case err != nil:
			return fmt.Errorf("publish flags: %w", err)
		}
		changed = true
	}
	e.holder.Confirm()
	if changed {
		e.notify("flags")
		e.notify("overview")
	}
	return nil
}

// ackTimeout is how long workers get to take a flag change over. They poll several times a second; the rest is for slow moments.
const ackTimeout = 45 * time.Second

// awaitWarm waits until every live worker has had the time to be heard since the start of this process.
func (c *Call) awaitWarm(ctx context.Context) error {
	return await(ctx, 100*time.Millisecond, func(context.Context) error {
		if !c.workers.Warm() {
			return notYet("Switchyard has just started, and workers get a few seconds to report")
		}
		return nil
	})
}

// awaitWorkers waits until every live worker uses the flag revision for everything it has in flight, and returns how many there are.
func (c *Call) awaitWorkers(ctx context.Context, revision int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	var n int
	err := await(ctx, 100*time.Millisecond, func(context.Context) error {
		live := c.workers.Live(c.Run.MigrationID)
		n = len(live)
		if n == 0 {
			return notYet("no live worker reports itself; is the ingestion app up, and does it reach Switchyard?")
		}
		for _, w := range live {
			if w.Revision < revision {
				c.Progress("waiting for %s to take over flag revision %d (it holds %d)", w.Instance, revision, w.Revision)
				return notYet("worker %s holds flag revision %d, not %d", w.Instance, w.Revision, revision)
			}
		}
		return nil
	})
	if err == nil {
		c.Log("%d live workers hold flag revision %d", n, revision)
	}
	return n, err
}
