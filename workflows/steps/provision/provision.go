// Package provision is the step that provisions the managed Redis.
package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/upstash"
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
	Vars    *heroku.Client
	AppName string // at the host
	Target  config.Upstash
	// between two looks for what a request of unknown outcome has done; 0: the client's own
	Settle time.Duration
	Now    func() time.Time
	seen   *measured
}

// targetVar is the config var through which the app learns the managed Redis' address.
const targetVar = "TARGET_REDIS_URL"

// Step creates the managed database, or adopts one of the configured name, checks it, and
// gives its address to the app.
func (s Parts) Step() engine.Step {
	s.seen = &measured{}
	return engine.Step{
		ID:       migration.StepProvision,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			t := s.Target
			out := engine.PlanResult{
				Summary: fmt.Sprintf(
					"Create or adopt the Upstash database %s (%s, %s, TLS, eviction off) and give its address to the app.",
					t.DatabaseName,
					wantedPlan.Title,
					t.PrimaryRegion,
				),
				Impact: fmt.Sprintf(
					"Costs $%.0f a month from now on (vendor's price list of %s; the initiative said $15). The app restarts once with the new address; the provider's retries bring back what it misses.",
					wantedPlan.MonthlyUSD,
					upstash.PricedAt,
				),
			}
			stage := migration.Gate{
				ID:       "stage",
				Title:    "Cutover has not begun",
				OK:       v.Routing.Stage == migration.StageOff,
				Measured: v.Routing.String(),
				Limit:    "off",
			}
			if !stage.OK {
				stage.Next = "move the queue back to off first"
			}
			out.Gates = append(out.Gates, stage)
			source, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			var load sourceLoad
			if err == nil {
				load, err = s.load(ctx, source, endpoint.Address())
			}
			db := s.lookForDatabase(ctx, &out, load, err)
			bears, told := limits(db)
			out.Gates = append(out.Gates, s.loadGates(bears, told, load, err)...)
			if err == nil {
				out.Observed = append(
					out.Observed,
					migration.Fact{Label: "Cost", Value: load.projection()},
					migration.Fact{
						Label: "Traffic",
						Value: fmt.Sprintf(
							"%s a month at the source's present rate, of %s in the plan",
							environment.Bytes(int64(load.BytesPerSecond*upstash.SecondsPerMonth)),
							environment.Bytes(bears.BandwidthBytes),
						),
					},
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
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:      "database",
						Title:   "Create or adopt the database",
						Changes: "a paid database in the managed service's account",
						Undo:    "forgets the database; it stays and is billed until somebody deletes it",
					},
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
				{
					ActionPlan: migration.ActionPlan{
						ID:      "config-var",
						Title:   "Give the address to the app",
						Changes: "config var " + targetVar + "; the app restarts",
						Undo:    "removes the config var, a former value of which is not kept; the app restarts",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						_, endpoint, err := s.Servers.Target(ctx)
						if err != nil {
							return nil, err
						}
						changed, err := s.Vars.SetConfigVars(
							ctx,
							s.AppName,
							map[string]*migration.Secret{targetVar: &endpoint.URL},
						)
						if err != nil {
							return nil, err
						}
						vars, err := s.Vars.ConfigVars(ctx, s.AppName)
						if err != nil {
							return nil, err
						}
						if vars[targetVar] != endpoint.URL {
							return nil, fmt.Errorf(
								"the app's config var %s does not read back as it was set",
								targetVar,
							)
						}
						c.Log("%s set and read back (changed: %v)", targetVar, changed)
						return nil, nil
					},
					Undo: func(ctx context.Context, c *engine.Call) error {
						_, err := s.Vars.SetConfigVars(
							ctx,
							s.AppName,
							map[string]*migration.Secret{targetVar: nil},
						)
						return err
					},
				},
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

// lookForDatabase adds what is known of the database to the outlook, and gives it; nil when
// there is none, or it is not known.
func (s Parts) lookForDatabase(
	ctx context.Context,
	out *engine.PlanResult,
	load sourceLoad,
	loadErr error,
) *upstash.Database {
	want := wantedDatabase(s.Target)
	api := migration.Gate{
		ID:       "api",
		Title:    "The managed service's API answers",
		OK:       true,
		Measured: "answers",
		Limit:    "answers with the configured account, and knows at most one database of that name",
	}
	found := migration.Fact{
		Label: "Database",
		Value: want.DatabaseName + " does not exist and is created",
	}
	db, exists, err := s.Managed.API.FindByName(ctx, want.DatabaseName)
	if err != nil {
		if api.OK, api.Measured, api.Next = false, err.Error(), "check target.upstash in the configuration"; migration.KindOf(
			err,
		) == migration.Conflict {
			api.Next = "delete or rename, in the provider's console, those that are not wanted"
		}
		out.Gates = append(out.Gates, api)
		return nil
	}
	var there *upstash.Database
	if exists {
		_, why := db.Fixed1GB()
		found.Value = fmt.Sprintf(
			"%s (%s) exists (%s, state %s); it is adopted where it fits",
			db.Name,
			db.ID,
			why,
			db.State,
		)
		there = &db
	}
	out.Gates = append(append(out.Gates, api), planGates(want, there, load, loadErr)...)
	out.Observed = append(out.Observed, found)
	return there
}

// lookAtApp says what becomes of the app's config var.
func (s Parts) lookAtApp(ctx context.Context, out *engine.PlanResult, db *upstash.Database) {
	app := migration.Gate{
		ID:       "app",
		Title:    "The app's configuration can be read",
		OK:       true,
		Measured: "read",
		Limit:    "config vars are readable",
	}
	vars, err := s.Vars.ConfigVars(ctx, s.AppName)
	if err != nil {
		app.OK, app.Measured, app.Next = false, err.Error(), "check heroku in the configuration"
		out.Gates = append(out.Gates, app)
		return
	}
	out.Gates = append(out.Gates, app)
	change := migration.ConfigVarChange{
		App:      s.AppName,
		Name:     targetVar,
		Change:   "set",
		Restarts: true,
	}
	if have, set := vars[targetVar]; set {
		change.Change = "changed"
		if db != nil {
			if open, err := s.Managed.API.Get(ctx, db.ID, true); err == nil && open.URL() == have {
				change.Change, change.Restarts = "unchanged", false
			}
		}
	}
	out.ConfigVars = append(out.ConfigVars, change)
}

// databaseRef is what the run keeps of the database.
type databaseRef struct {
	DatabaseID string `json:"database_id"`
}

// createDatabase sees to it that there is one database as wanted. It is on record, in the
// run and its log, as soon as its id is known.
func (s Parts) createDatabase(ctx context.Context, c *engine.Call) (any, error) {
	want := wantedDatabase(s.Target)
	db, _, err := s.Managed.API.Ensure(
		ctx,
		want,
		upstash.EnsureOptions{
			Every: s.Settle,
			Found: func(db upstash.Database, created bool) error {
				if created {
					c.Log("created %s (%s)", db.Name, db.ID)
				} else {
					c.Log("%s (%s) exists and is adopted", db.Name, db.ID)
				}
				return c.Remember(ctx, databaseRef{db.ID})
			},
		},
	)
	if err != nil {
		return nil, err
	}
	facts, err := s.Managed.Plan(ctx, db.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Prove(ctx, evidence.TargetPlan, migration.Observed, "developer API", facts); err != nil {
		return nil, fmt.Errorf(
			"%w: mend the database in the managed service's console; pay-as-you-go bills every idle poll of BullMQ",
			err,
		)
	}
	if err := s.Servers.UseTarget(ctx, db.ID); err != nil {
		return nil, err
	}
	c.Log("database %s (%s) in %s", db.Name, db.ID, db.PrimaryRegion)
	return databaseRef{db.ID}, nil
}

func (s Parts) awaitTargetConnections(ctx context.Context, c *engine.Call) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return nil, engine.Await(ctx, 250*time.Millisecond, func(context.Context) error {
		live := s.Workers.Attestations()
		if len(live) == 0 {
			return engine.NotYet("no live worker reports itself after the restart")
		}
		for _, w := range live {
			ready := false
			for _, conn := range w.Connections {
				if conn.Side == "target" && conn.Role == "producer" {
					ready = conn.Status == "ready"
				}
			}
			if !ready {
				c.Progress("waiting for %s to connect to the managed Redis", w.Instance)
				return engine.NotYet(
					"worker %s attests no ready producer connection to the managed Redis",
					w.Instance,
				)
			}
		}
		c.Log("%d live workers are connected to the managed Redis", len(live))
		return nil
	})
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

// wantedDatabase is what is asked of the managed service.
func wantedDatabase(t config.Upstash) upstash.CreateRequest {
	return upstash.CreateRequest{
		DatabaseName:  t.DatabaseName,
		Platform:      t.Platform,
		PrimaryRegion: t.PrimaryRegion,
		Plan:          wantedPlan.Name,
		TLS:           true,
	}
}
