package provision

import (
	"context"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// summary says what the step would do, and what it costs.
func (s Parts) summary() engine.PlanResult {
	o, vars := s.Managed.Service.Offer(), s.Vars.About()
	does := fmt.Sprintf("Create or adopt the %s database %s", o.Service, o.Name)
	if !o.Can.Create {
		does = fmt.Sprintf("Adopt the %s database at %s", o.Service, o.Name)
	}
	gives, restarts := "give its address to the app", "The app restarts once with the new address"
	if !vars.Can.Set {
		gives = fmt.Sprintf("wait until a person has given its address to %s", vars.App)
		restarts = "A person restarts the app once with the new address"
	}
	return engine.PlanResult{
		Summary: fmt.Sprintf("%s (%s, %s, TLS, eviction off) and %s.", does, o.Plan.Title,
			o.Region, gives),
		Impact: fmt.Sprintf("Costs $%.0f a month from now on (%s). %s; the provider's retries "+
			"bring back what it misses.", o.Plan.MonthlyUSD, told(o.Price), restarts),
	}
}

// told says from where something is known, and that it is somebody's word where it is.
func told(b providers.Basis) string {
	if b.Proof == migration.Attested {
		return "attested: " + b.Source
	}
	return b.Source
}

// lookForDatabase adds what is known of the database to the outlook, and gives it; nil when
// there is none, or it is not known.
func (s Parts) lookForDatabase(
	ctx context.Context,
	out *engine.PlanResult,
	load sourceLoad,
	loadErr error,
) *providers.Database {
	o := s.Managed.Service.Offer()
	api := migration.Claim{
		ID:       "api",
		Title:    "The managed service's API answers",
		Measured: "answers",
		Limit: "answers with the configured account, and knows at most one database of that " +
			"name",
	}
	if !o.Can.Create {
		api.Title, api.Limit = "The database answers", "answers with the configured URL"
	}
	found, err := s.Managed.Service.Find(ctx)
	if err != nil {
		api.Measured = migration.PlainError(err)
		api.Next = fmt.Sprintf("check %s in the configuration", o.Key)
		if migration.KindOf(err) == migration.Conflict {
			api.Next = "delete or rename, in the provider's console, those that are not wanted"
		}
		out.Gates = append(out.Gates, api.About("service", o.Service, false, nil))
		return nil
	}
	for i := range found.Fit {
		if found.Fit[i].ID == "plan" {
			found.Fit[i].Measured += ": " + s.price(load, loadErr)
		}
	}
	out.Gates = append(append(out.Gates, api.About("service", o.Service, true, nil)),
		found.Fit...)
	if !found.Exists {
		out.Observed = append(out.Observed,
			migration.Fact{Label: "Database", Value: o.Name + " does not exist and is created"})
		return nil
	}
	db := found.Database
	out.Observed = append(out.Observed, migration.Fact{
		Label: "Database",
		Value: fmt.Sprintf("%s (%s) exists (%s, state %s); it is adopted where it fits",
			db.Name, db.ID, db.PlanNote, db.State),
	})
	if !o.Can.Create {
		out.Gates = append(out.Gates, s.Managed.Apart(ctx, db))
		out.Observed = append(out.Observed, migration.Fact{
			Label: "Known how",
			Value: fmt.Sprintf("plan and region: %s; limits: %s; state, TLS and eviction: %s",
				told(db.Said.Plan), told(db.Said.Limits), told(db.Said.Server)),
		})
	}
	return &db
}

// lookAtApp says what becomes of the app's config var.
func (s Parts) lookAtApp(ctx context.Context, out *engine.PlanResult, db *providers.Database) {
	about := s.Vars.About()
	app := migration.Claim{
		ID:       "app",
		Title:    "The app's configuration can be read",
		Measured: "read",
		Limit:    "config vars are readable",
	}
	if !about.Can.Read {
		app.Title = "The app says what it uses"
		app.Limit = "workers have had the time to report; a person sets the config var"
	}
	want := s.wanted(ctx, db)
	state, err := s.Vars.Look(ctx, want)
	if err != nil {
		app.Measured = migration.PlainError(err)
		app.Next = fmt.Sprintf("check %s in the configuration", about.Key)
		out.Gates = append(out.Gates, app.About("service", about.Service, false, nil))
		return
	}
	if !about.Can.Read {
		app.Measured = state.Basis.Source
	}
	out.Gates = append(out.Gates, app.About("service", about.Service, true, nil))
	change := migration.ConfigVarChange{App: about.App, Name: want.Name, Change: "set",
		Restarts: true, ByHand: !about.Can.Set}
	switch state.Is {
	case providers.VarAsIs:
		change.Change, change.Restarts = "unchanged", false
	case providers.VarOther:
		change.Change = "changed"
	}
	out.ConfigVars = append(out.ConfigVars, change)
}

// wanted is the app's variable as it should be; without a value as long as there is no
// database, or its service does not tell it.
func (s Parts) wanted(ctx context.Context, db *providers.Database) providers.Var {
	v := providers.Var{Name: environment.TargetVar}
	if db == nil {
		return v
	}
	if access, err := s.Managed.Service.Access(ctx, db.ID); err == nil {
		v.Value, v.From = access.URL, access.From
	}
	return v
}
