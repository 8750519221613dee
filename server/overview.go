package server

import (
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (s *Server) overviewRoutes() []site.Route {
	return []site.Route{
		site.Get("/", site.Session, s.home),
		site.GetShared("/m/:mid", site.ByRole, s.overview),
		site.Get("/m/:mid/headline", site.Session, s.headline),
		site.GetShared("/m/:mid/plan", site.ByRole, s.plan),
		site.Get("/api/v1/migrations", site.Session, s.apiMigrations),
		site.Get(apiMigration, site.Session, s.apiOverview),
	}
}

// overviewPoints keeps the first page light.
const overviewPoints = 120

// home leads to the migration; there is one.
func (s *Server) home(c *fiber.Ctx) error {
	all, err := s.Control.Migrations(c.UserContext())
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return migration.Errorf(migration.NotFound,
			"there is no migration yet: it is created from the plan at the first start")
	}
	return c.Redirect("/m/"+all[0].ID, http.StatusSeeOther)
}

func (s *Server) overview(c *fiber.Ctx) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	l, err := s.Control.LedgerOverview(c.UserContext(), o.Migration.ID)
	if err != nil {
		return err
	}
	flow, err := s.chartsOf(c, o.Migration.ID, "1h", overviewPoints,
		charts.Overview(len(o.Checklist))...)
	if err != nil {
		return err
	}
	flow.Later = true
	at := site.Place{
		Migration: o.Migration, Section: "overview", Title: o.Migration.Name,
		Topics: []string{"overview"},
	}
	return s.Page(c, at, templ.Join(
		queuepages.LedgerAlert(o.Migration.ID, l),
		migrationpages.Overview(o, flow, time.Now(), site.IdentityOf(c).Who())))
}

// headline is the bar on top of pages that do not fetch themselves again.
func (s *Server) headline(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	h := s.Control.Headline(m.ID)
	return site.Part(c, ui.HeadlineBar(ui.Frame{
		MigrationID: m.ID, Headline: &h, Now: time.Now(), Stream: "/events",
	}))
}

func (s *Server) plan(c *fiber.Ctx) error {
	r, err := s.Control.Roadmap(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	m := r.Migration
	at := site.Place{Migration: m, Section: "plan", Title: "Plan", Topics: []string{"overview"}}
	return s.Page(c, at, migrationpages.PlanPage(migrationpages.Plan{
		MigrationID: m.ID, Plan: m.Plan, EventDate: m.EventDate, Roadmap: r, Now: time.Now(),
	}))
}

func (s *Server) apiMigrations(c *fiber.Ctx) error {
	all, err := s.Control.Migrations(c.UserContext())
	return site.Answer(c, api.MigrationList{Migrations: site.List(all)}, err)
}

func (s *Server) apiOverview(c *fiber.Ctx) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	return site.Answer(c, o, err)
}
