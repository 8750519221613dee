package workflows

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// targetVar is the config var through which the app learns the managed Redis' address.
const targetVar = "TARGET_REDIS_URL"

// provision creates the managed database, or adopts one of the configured name, checks it, and gives its address to the app.
func provision() Step {
	return Step{
		ID:       migration.StepProvision,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			t := e.cfg.Target.Upstash
			out := Outlook{Summary: fmt.Sprintf("Create or adopt the Upstash database %s (%s, %s, TLS, eviction off) and give its address to the app.", t.DatabaseName, wantedPlan.Title, t.PrimaryRegion),
				Impact: fmt.Sprintf("Costs $%.0f a month from now on (vendor's price list of %s; the initiative said $15). The app restarts once with the new address; the provider's retries bring back what it misses.",
					wantedPlan.MonthlyUSD, upstash.PricedAt)}
			stage := migration.Gate{ID: "stage", Title: "Cutover has not begun", OK: v.routing.Stage == migration.StageOff, Measured: v.routing.String(), Limit: "off"}
			if !stage.OK {
				stage.Next = "move the queue back to off first"
			}
			out.Gates = append(out.Gates, stage)
			source, endpoint, err := e.Source(ctx, v.migration.ID)
			var load sourceLoad
			if err == nil {
				load, err = e.load(ctx, source, endpoint.Address())
			}
			db := e.lookForDatabase(ctx, &out, load, err)
			bears, told := limits(db)
			out.Gates = append(out.Gates, e.loadGates(bears, told, load, err)...)
			if err == nil {
				out.Observed = append(out.Observed, migration.Fact{Label: "Cost", Value: load.projection()},
					migration.Fact{Label: "Traffic", Value: fmt.Sprintf("%s a month at the source's present rate, of %s in the plan", byteSize(int64(load.BytesPerSecond*upstash.SecondsPerMonth)), byteSize(bears.BandwidthBytes))})
			}
			census := e.surveys.get(ctx, "source", source, endpoint, err, surveyPatience)
			out.Gates = append(out.Gates, censusGates(ctx, bears, census, source)...)
			if n := census.Survey.Foreign; n > 0 {
				out.Observed = append(out.Observed, migration.Fact{Label: "Other keys", Value: fmt.Sprintf("%d keys of no queue on the source: they are not moved, and not measured one by one", n)})
			}
			e.lookAtApp(ctx, &out, db)
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{
				{
					ActionPlan: migration.ActionPlan{ID: "database", Title: "Create or adopt the database", Changes: "a paid database in the managed service's account",
						Undo: "forgets the database; it stays and is billed until somebody deletes it"},
					Timeout: 5 * time.Minute, // a create of unknown outcome is looked for, and a new database waited for
					Do:      createDatabase,
					Undo:    func(ctx context.Context, c *Call) error { return c.forgetTarget(ctx) },
				},
				{
					ActionPlan: migration.ActionPlan{ID: "probe", Title: "Try the commands that BullMQ needs on a scratch key, over verified TLS"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						facts, err := c.tryTarget(ctx, c.largestPayload(ctx))
						if err != nil {
							return nil, err
						}
						return facts, c.Prove(ctx, evidence.TargetConn, migration.Observed, "commands on the database itself", facts)
					},
				},
				{
					ActionPlan: migration.ActionPlan{ID: "config-var", Title: "Give the address to the app", Changes: "config var " + targetVar + "; the app restarts", Undo: "removes the config var, a former value of which is not kept; the app restarts"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						_, endpoint, err := c.Target(ctx)
						if err != nil {
							return nil, err
						}
						changed, err := c.heroku.SetConfigVars(ctx, c.cfg.Heroku.App, map[string]*migration.Secret{targetVar: &endpoint.URL})
						if err != nil {
							return nil, err
						}
						vars, err := c.heroku.ConfigVars(ctx, c.cfg.Heroku.App)
						if err != nil {
							return nil, err
						}
						if vars[targetVar] != endpoint.URL {
							return nil, fmt.Errorf("the app's config var %s does not read back as it was set", targetVar)
						}
						c.Log("%s set and read back (changed: %v)", targetVar, changed)
						return nil, nil
					},
					Undo: func(ctx context.Context, c *Call) error {
						_, err := c.heroku.SetConfigVars(ctx, c.cfg.Heroku.App, map[string]*migration.Secret{targetVar: nil})
						return err
					},
				},
				{
					ActionPlan: migration.ActionPlan{ID: "connected", Title: "Wait until every live worker is connected to it"},
					Do:         awaitTargetConnections,
				},
			}
		},
	}
}

// wantedDatabase is what is asked of the managed service.
func (e *Estate) wantedDatabase() upstash.CreateRequest {
	t := e.cfg.Target.Upstash
	return upstash.CreateRequest{DatabaseName: t.DatabaseName, Platform: t.Platform, PrimaryRegion: t.PrimaryRegion, Plan: wantedPlan.Name, TLS: true}
}

// lookForDatabase adds what is known of the database to the outlook, and gives it; nil when there is none, or it is not known.
func (e *Estate) lookForDatabase(ctx context.Context, out *Outlook, load sourceLoad, loadErr error) *upstash.Database {
	want := e.wantedDatabase()
	api := migration.Gate{ID: "api", Title: "The managed service's API answers", OK: true, Measured: "answers", Limit: "answers with the configured account, and knows at most one database of that name"}
	found := migration.Fact{Label: "Database", Value: want.DatabaseName + " does not exist and is created"}
	db, exists, err := e.upstash.FindByName(ctx, want.DatabaseName)
	if err != nil {
		if api.OK, api.Measured, api.Next = false, err.Error(), "check target.upstash in the configuration"; migration.KindOf(err) == migration.Conflict {
			api.Next = "delete or rename, in the provider's console, those that are not wanted"
		}
		out.Gates = append(out.Gates, api)
		return nil
	}
	var there *upstash.Database
	if exists {
		_, why := db.Fixed1GB()
		found.Value = fmt.Sprintf("%s (%s) exists (%s, state %s); it is adopted where it fits", db.Name, db.ID, why, db.State)
		there = &db
	}
	out.Gates = append(append(out.Gates, api), planGates(want, there, load, loadErr)...)
	out.Observed = append(out.Observed, found)
	return there
}

// lookAtApp says what becomes of the app's config var.
func (e *Estate) lookAtApp(ctx context.Context, out *Outlook, db *upstash.Database) {
	app := migration.Gate{ID: "app", Title: "The app's configuration can be read", OK: true, Measured: "read", Limit: "config vars are readable"}
	vars, err := e.heroku.ConfigVars(ctx, e.cfg.Heroku.App)
	if err != nil {
		app.OK, app.Measured, app.Next = false, err.Error(), "check heroku in the configuration"
		out.Gates = append(out.Gates, app)
		return
	}
	out.Gates = append(out.Gates, app)
	change := migration.ConfigVarChange{App: e.cfg.Heroku.App, Name: targetVar, Change: "set", Restarts: true}
	if have, set := vars[targetVar]; set {
		change.Change = "changed"
		if db != nil {
			if open, err := e.upstash.Get(ctx, db.ID, true); err == nil && open.URL() == have {
				change.Change, change.Restarts = "unchanged", false
			}
		}
	}
	out.ConfigVars = append(out.ConfigVars, change)
}

// createDatabase sees to it that there is one database as wanted. It is on record, in the run and its log, as soon as its id is known.
func createDatabase(ctx context.Context, c *Call) (any, error) {
	want := c.wantedDatabase()
	db, _, err := c.upstash.Ensure(ctx, want, upstash.EnsureOptions{Every: c.settle, Found: func(db upstash.Database, created bool) error {
		if created {
			c.Log("created %s (%s)", db.Name, db.ID)
		} else {
			c.Log("%s (%s) exists and is adopted", db.Name, db.ID)
		}
		return c.Remember(ctx, targetRef{DatabaseID: db.ID})
	}})
	if err != nil {
		return nil, err
	}
	facts, err := c.targetPlan(ctx, db.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Prove(ctx, evidence.TargetPlan, migration.Observed, "developer API", facts); err != nil {
		return nil, fmt.Errorf("%w: mend the database in the managed service's console; pay-as-you-go bills every idle poll of BullMQ", err)
	}
	var before targetRef
	if known, err := c.store.Setting(ctx, targetSetting, &before); err != nil {
		return nil, err
	} else if known && before.DatabaseID != db.ID { // its address must not be used any more
		if err := c.forgetTarget(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.store.SetSetting(ctx, targetSetting, targetRef{DatabaseID: db.ID}); err != nil {
		return nil, err
	}
	c.Log("database %s (%s) in %s", db.Name, db.ID, db.PrimaryRegion)
	return targetRef{db.ID}, nil
}

func (e *Estate) forgetTarget(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.target != nil {
		_ = e.target.Close() // a connection nobody needs any more
		e.target = nil
	}
	return e.store.DeleteSetting(ctx, targetSetting)
}

// targetPlan reads from the managed service's API what the database is, and whether there are others of its name. One that is gone has the state "deleted".
func (e *Estate) targetPlan(ctx context.Context, id string) (evidence.TargetPlanFacts, error) {
	all, err := e.upstash.List(ctx)
	if err != nil {
		return evidence.TargetPlanFacts{}, err
	}
	var db upstash.Database
	if i := slices.IndexFunc(all, func(d upstash.Database) bool { return d.ID == id }); i >= 0 {
		db = all[i]
	} else if db, err = e.upstash.Get(ctx, id, false); httpapi.Status(err) == http.StatusNotFound {
		return evidence.TargetPlanFacts{Provider: "Upstash", DatabaseID: id, Name: e.cfg.Target.Upstash.DatabaseName, State: "deleted", PlanNote: "it is gone"}, nil
	} else if err != nil {
		return evidence.TargetPlanFacts{}, err
	}
	fixed, why := db.Fixed1GB()
	facts := evidence.TargetPlanFacts{Provider: "Upstash", DatabaseID: db.ID, Name: db.Name, Region: db.PrimaryRegion, Fixed1GB: fixed, PlanNote: why,
		Eviction: db.Eviction || db.DBEviction, TLS: db.TLS, State: db.State, AutoUpgrade: db.AutoUpgrade}
	for _, other := range upstash.Named(all, db.Name) {
		if other.ID != id {
			facts.SameName = append(facts.SameName, other.ID)
		}
	}
	slices.Sort(facts.SameName)
	return facts, nil
}

// targetEvictsNothing asks the managed service now. The gate of a step asks for evidence, which may be older than the moment of the move.
func (c *Call) targetEvictsNothing(ctx context.Context) error {
	var ref targetRef
	if known, err := c.store.Setting(ctx, targetSetting, &ref); err != nil || !known {
		return err // without one there is no target to move to
	}
	facts, err := c.targetPlan(ctx, ref.DatabaseID)
	if err != nil {
		return err
	}
	return c.Prove(ctx, evidence.TargetPlan, migration.Observed, "developer API", facts)
}

func awaitTargetConnections(ctx context.Context, c *Call) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return nil, await(ctx, 250*time.Millisecond, func(context.Context) error {
		live := c.workers.Attestations()
		if len(live) == 0 {
			return notYet("no live worker reports itself after the restart")
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
				return notYet("worker %s attests no ready producer connection to the managed Redis", w.Instance)
			}
		}
		c.Log("%d live workers are connected to the managed Redis", len(live))
		return nil
	})
}
