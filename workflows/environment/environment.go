// Package environment is what a migration touches outside, in the parts that steps are
// handed: the servers of both sides, the routing flags and the workers that read them, the
// app's journal of orders, the servers' own streams of events, surveys of the queues, the
// managed service and the host. It also observes: what it reads of them is the facts that
// checks judge.
package environment

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/silence"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Environment is every part, as the configuration describes it. Who assembles the program
// holds it; a step is handed parts.
type Environment struct {
	Views   *Views
	Servers *Servers
	Debts   *Debts
	Routing *Routing
	Workers *Workers
	Clients *Clients
	Journal *Journal
	Streams *Streams
	Surveys *Surveys
	Load    *Load
	App     App
	Managed *Managed
	Probe   *Probe
	Vitals  *Vitals
	Host    *Host
	World   *World
	Vars    providers.ConfigVars

	stop context.CancelFunc // of surveys that are being taken
}

// Options is what an environment is opened with.
type Options struct {
	Config config.Config
	Store  *store.Store
	Flags  *flags.Holder
	Fleet  *fleet.Fleet
	Log    *slog.Logger
	Now    func() time.Time
	// Notify is called with the topic of what has changed: overview, flags. It must not block.
	Notify func(topic string)
}

// Open opens the environment. Nothing is connected to yet; an error is one of the configuration.
//
//nolint:contextcheck // what it opens lives until it is closed
func Open(o Options) (*Environment, error) {
	cfg := o.Config
	hc := &http.Client{Timeout: 15 * time.Second}
	app := ingestion.New(cfg.Ingestion.URL, cfg.Ingestion.Token, hc)
	e := &Environment{
		App: newApp(cfg.Ingestion.URL, app, cfg.Queues, instances(cfg, hc)),
		Journal: newJournal(JournalOptions{
			Clients:  journals(cfg, app, hc),
			Store:    o.Store,
			Deadline: cfg.Migration.OrderDeadline,
			Queues:   cfg.Queues,
			Workers:  o.Fleet.Workers,
			Waivers:  waivers(o.Store, o.Now),
			Log:      o.Log,
			Now:      o.Now,
		}),
		Routing: &Routing{
			store:  o.Store,
			holder: o.Flags,
			queues: cfg.Queues,
			log:    o.Log,
			now:    o.Now,
			notify: o.Notify,
		},
		Clients: &Clients{fleet: o.Fleet, store: o.Store},
	}
	e.Workers = &Workers{
		Fleet:   o.Fleet,
		Clients: e.Clients,
		latest:  o.Store.LatestEvidence,
		newest: func(set string) int64 {
			held, _ := o.Flags.Held(set)
			return held.Revision
		},
		scanOnly: cfg.Drill.ScanOnly,
		queues:   cfg.Queues,
		now:      o.Now,
	}
	e.Vars = cfg.ConfigVars(hc, e.Workers.attestsVar)
	managed := cfg.Managed(hc)
	var err error
	if e.Servers, err = openServers(cfg, o.Store, e.Routing, managed); err != nil {
		return nil, err
	}
	e.Clients.servers, e.Servers.Clients = e.Servers, e.Clients
	e.Managed = &Managed{Service: managed, servers: e.Servers}
	host, err := cfg.Host(hc, o.Store, e.Servers.Alive)
	if err != nil {
		e.Servers.Close()
		return nil, err
	}
	e.Host = &Host{
		Service:  host,
		Machines: cfg.Source.OldMachines(),
		servers:  e.Servers,
		silence:  silence.Prober{Alive: e.Servers.Alive},
	}
	e.Probe = &Probe{servers: e.Servers, now: o.Now, tried: map[string]evidence.TargetConnFacts{}}
	e.Load = &Load{servers: e.Servers, now: o.Now, all: map[string]*meter{}}
	e.Streams = &Streams{
		servers:   e.Servers,
		journal:   e.Journal,
		store:     o.Store,
		deadlines: cfg.Migration.OrderDeadlines,
		log:       o.Log,
		now:       o.Now,
		notify:    o.Notify,
	}
	e.Vitals = &Vitals{
		Limits:  cfg.Migration.Guardrails,
		servers: e.Servers,
		journal: e.Journal,
		streams: e.Streams,
		now:     o.Now,
		tried:   map[string]attempt{},
		breach:  map[string]Fault{},
		rails:   map[string][]migration.Guardrail{},
	}
	e.Debts = &Debts{servers: e.Servers, app: e.App, store: o.Store, log: o.Log, now: o.Now}
	e.World = &World{
		servers: e.Servers,
		workers: e.Workers,
		store:   o.Store,
		setup:   setup(cfg),
		now:     o.Now,
		log:     o.Log,
	}
	e.Views = &Views{store: o.Store, routing: e.Routing, world: e.World, ramp: cfg.Migration.Ramp,
		now: o.Now}
	background, stop := context.WithCancel(context.Background())
	e.Surveys, e.stop = newSurveys(background, o.Now), stop
	return e, nil
}

// waivers gives those that count for the first migration, whose app the journals are of.
func waivers(
	st *store.Store, now func() time.Time,
) func(context.Context) ([]migration.Waiver, error) {
	return func(ctx context.Context) ([]migration.Waiver, error) {
		all, err := st.Migrations(ctx)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		at := now()
		return st.Waivers(ctx, all[0].ID, &at)
	}
}

// journals are the addresses at which the app's journals are read.
func journals(
	cfg config.Config, app *ingestion.Client, hc *http.Client,
) map[string]*ingestion.Client {
	if len(cfg.Ingestion.Instances) == 0 {
		return map[string]*ingestion.Client{cfg.Ingestion.URL: app}
	}
	return instances(cfg, hc)
}

// instances are those that have an address of their own.
func instances(cfg config.Config, hc *http.Client) map[string]*ingestion.Client {
	all := map[string]*ingestion.Client{}
	for _, u := range cfg.Ingestion.Instances {
		all[u] = ingestion.New(u, cfg.Ingestion.Token, hc)
	}
	return all
}

// Close ends what goes on in the background and closes every connection.
func (e *Environment) Close() {
	e.stop()
	e.Servers.Close()
}

func openServers(
	cfg config.Config, st *store.Store, routing *Routing, managed providers.Managed,
) (*Servers, error) {
	s := &Servers{store: st, routing: routing, managed: managed,
		StandaloneEndpoint: redisconn.Endpoint{
			Name: "standalone",
			Kind: redisconn.Standalone,
			URL:  cfg.Source.Standalone.URL,
		},
	}
	for _, q := range cfg.Queues {
		s.Queues = append(s.Queues, bullmq.ParseQueue(q))
	}
	var err error
	if s.Standalone, err = redisconn.Open(s.StandaloneEndpoint); err != nil {
		return nil, fmt.Errorf("source.standalone: %w", err)
	}
	c := cfg.Source.Sentinel
	if len(c.Addrs) == 0 {
		return s, nil
	}
	s.SentinelEndpoint = c.Endpoint()
	if s.Sentinel, err = redisconn.Open(s.SentinelEndpoint); err != nil {
		return nil, fmt.Errorf("source.sentinel: %w", err)
	}
	s.Cluster = sentinel.New(s.SentinelEndpoint)
	s.Cluster.Zones = c.Zones()
	s.Cluster.Followers = cfg.Source.Followers()
	return s, nil
}
