package server

import (
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// evidenceShown is per check.
const evidenceShown = 20

func (s *Server) evidenceRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/evidence/:criterion", site.ByRole, s.evidence),
		site.Get(apiMigration+"/criteria", site.Session, s.apiCriteria),
		site.Get(apiMigration+"/evidence", site.Session, s.apiEvidence),
	}
}

func (s *Server) evidence(c *fiber.Ctx) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Checklist,
		func(item migration.Item) bool { return item.Criterion.ID == c.Params("criterion") })
	if i < 0 {
		return migration.Errorf(migration.NotFound,
			"the plan has no criterion %q", c.Params("criterion"))
	}
	v := migrationpages.Evidence{
		MigrationID: o.Migration.ID, Item: o.Checklist[i], Now: time.Now(),
	}
	for _, st := range o.Plan.Steps {
		if slices.Contains(st.Proves, v.Item.Criterion.ID) {
			v.Steps = append(v.Steps, st)
		}
	}
	for _, req := range v.Item.Criterion.Requires {
		list, err := s.Control.Evidence(
			c.UserContext(), o.Migration.ID, req.Check, evidenceShown)
		if err != nil {
			return err
		}
		for _, e := range list {
			v.History = append(v.History, judged(e))
		}
	}
	slices.SortStableFunc(v.History,
		func(a, b migrationpages.Judged) int { return b.ObservedAt.Compare(a.ObservedAt) })
	at := site.Place{
		Migration: o.Migration, Section: "overview", Title: v.Item.Criterion.Title,
		Topics: []string{"overview"},
	}
	return s.Page(c, at, migrationpages.EvidencePage(v))
}

// judged says what one observation showed by itself, whatever its age.
func judged(e migration.Evidence) migrationpages.Judged {
	j := migrationpages.Judged{Evidence: e, Verdict: migration.Unknown}
	check, ok := evidence.Of(e.Check)
	if !ok {
		j.Measured = e.Check + ": this version knows no such check"
		return j
	}
	met, measured, err := check.Judge(e.Facts)
	switch {
	case err != nil:
		j.Measured = check.Title + ": " + migration.PlainError(err)
	case met:
		j.Verdict, j.Measured = migration.Met, measured
	default:
		j.Verdict, j.Measured = migration.Unmet, measured
	}
	return j
}

func (s *Server) apiCriteria(c *fiber.Ctx) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.CriteriaList{Criteria: o.Checklist}, err)
}

func (s *Server) apiEvidence(c *fiber.Ctx) error {
	limit, err := site.Limit(c, 50)
	if err != nil {
		return err
	}
	check := c.Query("check")
	if _, known := evidence.Of(check); check != "" && !known {
		return migration.Errorf(migration.Invalid, "there is no check %q", check)
	}
	all, err := s.Control.Evidence(c.UserContext(), c.Params("mid"), check, limit)
	return site.Answer(c, api.EvidenceList{Evidence: site.List(all)}, err)
}
