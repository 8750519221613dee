// Package steps is the catalogue of workflows. Each step is a folder of its own and is
// handed the parts of the environment that it needs.
package steps

import (
	"context"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/audit"
	"github.com/switchyard-dev/switchyard/workflows/steps/breaker"
	"github.com/switchyard-dev/switchyard/workflows/steps/cutover"
	"github.com/switchyard-dev/switchyard/workflows/steps/decommission"
	"github.com/switchyard-dev/switchyard/workflows/steps/dualwrite"
	"github.com/switchyard-dev/switchyard/workflows/steps/movequeues"
	"github.com/switchyard-dev/switchyard/workflows/steps/provision"
	"github.com/switchyard-dev/switchyard/workflows/steps/residue"
	"github.com/switchyard-dev/switchyard/workflows/steps/sentinelmove"
	"github.com/switchyard-dev/switchyard/workflows/steps/sentineltest"
	"github.com/switchyard-dev/switchyard/workflows/steps/webhookretry"
)

// Given is what the catalogue is made from.
type Given struct {
	Config      config.Config
	Environment *environment.Environment
	Store       *store.Store
	Now         func() time.Time
	// Live asks a payment provider what it could not deliver since a time; nil where nobody
	// can be asked.
	Live func(ctx context.Context, since time.Time) (*evidence.LiveDeliveries, error)
}

// All gives every step, by id.
func All(g Given) map[string]engine.Step {
	e, cfg := g.Environment, g.Config
	judge := audit.Parts{Servers: e.Servers, Surveys: e.Surveys, Latest: g.Store.LatestEvidence}
	all := map[string]engine.Step{}
	for _, s := range []engine.Step{
		judge.Step(),
		judge.FixPolicy(),
		sentinelmove.Parts{Servers: e.Servers, Debts: e.Debts, Routing: e.Routing,
			Workers: e.Workers, App: e.App}.Step(),
		sentineltest.Parts{Servers: e.Servers, Debts: e.Debts, App: e.App,
			Journal: e.Journal}.Step(),
		breaker.Parts{Servers: e.Servers, Debts: e.Debts, Workers: e.Workers, App: e.App,
			Queues: cfg.Queues, Drill: cfg.Drill, AppURL: cfg.Ingestion.URL,
			RedisServer: cfg.RedisServer, Providers: cfg.Providers}.Step(),
		webhookretry.Parts{Servers: e.Servers, Debts: e.Debts, Workers: e.Workers,
			Journal: e.Journal, Senders: senders(cfg), Live: g.Live}.Step(),
		provision.Parts{Servers: e.Servers, Workers: e.Workers, Surveys: e.Surveys,
			Managed: e.Managed, Probe: e.Probe, Vars: e.Vars, Now: g.Now}.Step(),
		cutover.Parts{Views: e.Views, Routing: e.Routing, Workers: e.Workers,
			Journal: e.Journal, Streams: e.Streams, Vitals: e.Vitals,
			Soak: cfg.Migration.Soak}.Step(),
		dualwrite.Parts{Routing: e.Routing, Journal: e.Journal,
			MinOrders: cfg.Migration.MinValidationOrders}.Step(),
		movequeues.Parts{Servers: e.Servers, Managed: e.Managed, Settings: g.Store,
			Move: cfg.Move}.Step(),
		residue.Parts{Servers: e.Servers, Debts: e.Debts, Workers: e.Workers, Journal: e.Journal,
			Streams: e.Streams, Move: cfg.Move}.Step(),
		decommission.Parts{Servers: e.Servers, Debts: e.Debts, Routing: e.Routing, Workers: e.Workers,
			Journal: e.Journal, Streams: e.Streams, Host: e.Host,
			QuietWindow: cfg.Migration.QuietWindow, FenceWindow: cfg.Migration.FenceWindow,
			DataDir: cfg.DataDir, RedisServer: cfg.RedisServer}.Step(),
	} {
		all[s.ID] = s
	}
	return all
}

// IDs lists the ids of all steps, sorted.
func IDs() []string {
	ids := []string{
		migration.StepAudit, migration.StepFixPolicy, migration.StepSentinelMove,
		migration.StepSentinelTest, migration.StepBreakerDrill, migration.StepWebhookRetry,
		migration.StepProvision, migration.StepCutover, migration.StepDualWrite,
		migration.StepMoveQueues, migration.StepMoveResidue, migration.StepDecommission,
	}
	slices.Sort(ids)
	return ids
}

// senders are the payment providers of the configuration, by id.
func senders(cfg config.Config) (ids []string) {
	for _, p := range cfg.Providers {
		ids = append(ids, p.ID)
	}
	return ids
}
