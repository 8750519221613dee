package environment

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Managed is the managed service, and the database there that the configuration asks for.
type Managed struct {
	Service providers.Managed
	servers *Servers
}

// Plan says what the database is, whether there are others of its name, and how well that
// is known. One that is gone has the state "deleted".
func (m *Managed) Plan(
	ctx context.Context, id string,
) (evidence.TargetPlanFacts, providers.Basis, error) {
	db, err := m.Service.Describe(ctx, id)
	if err != nil {
		return evidence.TargetPlanFacts{}, providers.Basis{}, err
	}
	offer := m.Service.Offer()
	return evidence.TargetPlanFacts{
		Provider:    offer.Service,
		DatabaseID:  db.ID,
		Name:        db.Name,
		Region:      db.Region,
		Wanted:      offer.Plan.Title,
		PlanFits:    db.PlanFits,
		PlanNote:    db.PlanNote,
		Eviction:    db.Eviction,
		TLS:         db.TLS,
		State:       db.State,
		AutoUpgrade: db.AutoUpgrade,
		SameName:    db.SameName,
	}, db.Said.Basis(), nil
}

// Present is Plan of the database that is the target. Unavailable before one is provisioned.
func (m *Managed) Present(
	ctx context.Context,
) (evidence.TargetPlanFacts, providers.Basis, error) {
	id, err := m.servers.TargetID(ctx)
	if err == nil && id == "" {
		err = migration.Errorf(migration.Unavailable, "no managed database is provisioned")
	}
	if err != nil {
		return evidence.TargetPlanFacts{}, providers.Basis{}, err
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
	facts, as, err := m.Plan(ctx, id)
	if err != nil {
		return err
	}
	return c.Prove(ctx, evidence.TargetPlan, as.Proof, as.Source, facts)
}

// Apart is the gate that the database is none of the old servers under another address. It
// is for a service that makes no database: one that does cannot have made an old server.
func (m *Managed) Apart(ctx context.Context, db providers.Database) migration.Gate {
	claim := migration.Claim{
		ID:    "apart",
		Title: "The target is another server than the source",
		Limit: "another run_id than every old server has",
		Next: "let Switchyard run INFO on the target and on every old server, or correct " +
			m.Service.Offer().Key,
	}
	same, unasked, err := m.sameAs(ctx, db)
	switch {
	case err != nil:
		err = Told(err)
	case len(same) > 0:
		claim.Measured = fmt.Sprintf("%s is the source itself: %s", db.Name,
			strings.Join(same, ", "))
		claim.Next = fmt.Sprintf("set %s to the database that the queues are to move to",
			m.Service.Offer().Key)
	case len(unasked) > 0:
		err = fmt.Errorf("nobody could ask %s", strings.Join(unasked, "; "))
	default:
		claim.Measured = db.Name + " is none of them"
	}
	return claim.About("database", db.Name, len(same) == 0, err)
}

func (m *Managed) sameAs(
	ctx context.Context, db providers.Database,
) (same, unasked []string, err error) {
	access, err := m.Service.Access(ctx, db.ID)
	if err != nil {
		return nil, nil, err
	}
	c, err := redisconn.Open(managedEndpoint(access))
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	return m.servers.SameAs(ctx, c)
}

func managedEndpoint(a providers.Access) redisconn.Endpoint {
	return redisconn.Endpoint{Name: "managed", Kind: redisconn.Managed, URL: a.URL,
		CAFile: a.CAFile}
}
