package environment

import (
	"context"
	"net/http"
	"slices"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Managed is the managed service, and the database there that the configuration asks for.
type Managed struct {
	API     *upstash.Client
	Name    string // of the database
	servers *Servers
}

// Plan reads from the managed service's API what the database is, and whether there are
// others of its name. One that is gone has the state "deleted".
func (m *Managed) Plan(ctx context.Context, id string) (evidence.TargetPlanFacts, error) {
	all, err := m.API.List(ctx)
	if err != nil {
		return evidence.TargetPlanFacts{}, err
	}
	var db upstash.Database
	if i := slices.IndexFunc(all, func(d upstash.Database) bool { return d.ID == id }); i >= 0 {
		db = all[i]
	} else if db, err = m.API.Get(ctx, id, false); httpapi.Status(err) == http.StatusNotFound {
		return evidence.TargetPlanFacts{Provider: "Upstash", DatabaseID: id, Name: m.Name, State: "deleted", PlanNote: "it is gone"}, nil
	} else if err != nil {
		return evidence.TargetPlanFacts{}, err
	}
	fixed, why := db.Fixed1GB()
	facts := evidence.TargetPlanFacts{
		Provider:   "Upstash",
		DatabaseID: db.ID,
		Name:       db.Name,
		Region:     db.PrimaryRegion,
		Fixed1GB:   fixed,
		PlanNote:   why,
		Eviction: db.Eviction ||
			db.DBEviction,
		TLS:         db.TLS,
		State:       db.State,
		AutoUpgrade: db.AutoUpgrade,
	}
	for _, other := range upstash.Named(all, db.Name) {
		if other.ID != id {
			facts.SameName = append(facts.SameName, other.ID)
		}
	}
	slices.Sort(facts.SameName)
	return facts, nil
}

// Present is Plan of the database that is the target. Unavailable before one is provisioned.
func (m *Managed) Present(ctx context.Context) (evidence.TargetPlanFacts, error) {
	id, err := m.servers.TargetID(ctx)
	if err != nil {
		return evidence.TargetPlanFacts{}, err
	}
	if id == "" {
		return evidence.TargetPlanFacts{}, migration.Errorf(
			migration.Unavailable,
			"no managed database is provisioned",
		)
	}
	return m.Plan(ctx, id)
}

// EvictsNothing asks the managed service now. The gate of a step asks for evidence, which
// may be older than the moment of the move.
func (m *Managed) EvictsNothing(ctx context.Context, c *engine.Call) error {
	id, err := m.servers.TargetID(ctx)
	if err != nil || id == "" {
		return err // without one there is no target to move to
	}
	facts, err := m.Plan(ctx, id)
	if err != nil {
		return err
	}
	return c.Prove(ctx, evidence.TargetPlan, migration.Observed, "developer API", facts)
}
