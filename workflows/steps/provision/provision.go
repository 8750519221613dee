// Package provision is the step that provisions the managed Redis.
package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Workers *environment.Workers
	Surveys *environment.Surveys
	Managed *environment.Managed
	Probe   *environment.Probe
	Vars    providers.ConfigVars
	Now     func() time.Time
	seen    *measured
}

const (
	// personTakes is how long a person may take to set the app's variable. It bounds what
	// nobody looks after any more; who waits can cancel at any time.
	personTakes = 7 * 24 * time.Hour
	// personRemoves is how long one may take to remove it again. An undo cannot be
	// cancelled, and what is left then is said.
	personRemoves = 15 * time.Minute
)

// Step creates the managed database, or adopts the configured one, checks it, and gives its
// address to the app, or has a person do so.
func (s Parts) Step() engine.Step {
	s.seen = &measured{}
	return engine.Step{
		ID:       migration.StepProvision,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := s.summary()
			out.Gates = append(out.Gates, v.StageGate("Cutover has not begun", "off",
				"move the queue back to off first", migration.StageOff))
			source, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			var load sourceLoad
			if err == nil {
				load, err = s.load(ctx, source, endpoint.Address())
			}
			db := s.lookForDatabase(ctx, &out, load, err)
			bears := limits(s.Managed.Service.Offer(), db)
			out.Gates = append(out.Gates, s.loadGates(v.Migration.ID, bears, load, err)...)
			if err == nil {
				out.Observed = append(
					out.Observed,
					migration.Fact{Label: "Cost", Value: s.projection(load)},
					migration.Fact{Label: "Traffic", Value: traffic(load, bears)},
				)
			}
			census := s.Surveys.Get(
				ctx,
				"source",
				source,
				endpoint,
				err,
				environment.SurveyPatience,
			)
			out.Gates = append(out.Gates, censusGates(ctx, bears, census, source)...)
			if n := census.Survey.Foreign; n > 0 {
				out.Observed = append(
					out.Observed,
					migration.Fact{
						Label: "Other keys",
						Value: fmt.Sprintf(
							"%d keys of no queue on the source: they are not moved, and not measured one by one",
							n,
						),
					},
				)
			}
			s.lookAtApp(ctx, &out, db)
			return out, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: s.databaseAction(),
					// a create of unknown outcome is looked for, and a new database waited
					// for
					Timeout: 5 * time.Minute,
					Do:      s.createDatabase,
					Undo:    func(ctx context.Context, c *engine.Call) error { return s.Servers.ForgetTarget(ctx) },
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "probe",
						Title: "Try the commands that BullMQ needs on a scratch key, over verified TLS",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						facts, err := s.Probe.Try(ctx, s.largestPayload(ctx, c))
						if err != nil {
							return nil, err
						}
						return facts, c.Prove(
							ctx,
							evidence.TargetConn,
							migration.Observed,
							"commands on the database itself",
							facts,
						)
					},
				},
				s.variable(),
				{
					ActionPlan: migration.ActionPlan{
						ID:    "connected",
						Title: "Wait until every live worker is connected to it",
					},
					Do: s.awaitTargetConnections,
				},
			}
		},
	}
}

// databaseRef is what the run keeps of the database.
type databaseRef struct {
	DatabaseID string `json:"database_id"`
	// Plan is what was found there, and Price what it costs by the service's offer of that day.
	Plan  *evidence.TargetPlanFacts `json:"plan,omitempty"`
	Price string                    `json:"price,omitempty"`
}

// createDatabase sees to it that there is one database as wanted. It is on record, in the
// run and its log, as soon as its id is known.
func (s Parts) createDatabase(ctx context.Context, c *engine.Call) (any, error) {
	db, _, err := s.Managed.Service.Ensure(ctx,
		func(db providers.Database, created bool) error {
			if created {
				c.Log("created %s (%s)", db.Name, db.ID)
			} else {
				c.Log("%s (%s) exists and is adopted", db.Name, db.ID)
			}
			return c.Remember(ctx, databaseRef{DatabaseID: db.ID})
		})
	if err != nil {
		return nil, err
	}
	if !s.Managed.Service.Offer().Can.Create {
		if g := s.Managed.Apart(ctx, db); !g.OK {
			return nil, migration.Errorf(migration.Blocked, "%s: %s (%s)", g.Title, g.Measured,
				g.Next)
		}
	}
	facts, as, err := s.Managed.Plan(ctx, db.ID)
	if err != nil {
		return nil, err
	}
	// First, since what is proven is proven of the target; a failure forgets it again.
	if err := s.Servers.UseTarget(ctx, db.ID); err != nil {
		return nil, err
	}
	if err := c.Prove(ctx, evidence.TargetPlan, as.Proof, as.Source, facts); err != nil {
		return nil, fmt.Errorf("%w: mend the database at its service; a plan that is billed by "+
			"use bills every idle poll of BullMQ", err)
	}
	c.Log("database %s (%s) in %s", db.Name, db.ID, db.Region)
	return databaseRef{db.ID, &facts, s.offered()}, nil
}

// largestPayload gives the size of the largest job that the last census saw, in bytes; 0
// when there is none.
func (s Parts) largestPayload(ctx context.Context, c *engine.Call) int64 {
	client, endpoint, err := s.Servers.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return 0
	}
	largest := int64(1) // the step's own try sends more than the monitor's
	for _, q := range s.Surveys.Get(ctx, "source", client, endpoint, nil, 0).Survey.Queues {
		largest = max(largest, q.Payload.Max)
	}
	return largest
}
