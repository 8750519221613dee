package server

import (
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) runbookRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/runbooks", site.Session, s.runbooks),
		site.Get("/m/:mid/runbooks/:page", site.Session, s.runbook),
	}
}

func (s *Server) runbooks(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	at := site.Place{Migration: m, Section: "plan", Title: "Runbooks"}
	return s.Page(c, at, adminpages.RunbooksPage(m.ID, runbooks.Steps(), runbooks.Alerts()))
}

func (s *Server) runbook(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	p, known := runbooks.Find(c.Params("page"))
	if !known {
		return migration.Errorf(migration.NotFound, "there is no runbook %.60q", c.Params("page"))
	}
	at := site.Place{Migration: m, Section: "plan", Title: p.Title}
	return s.Page(c, at, adminpages.RunbookPage(m.ID, p))
}
