package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) peopleRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/people", site.Session, s.people),
		site.Get(apiMigration+"/people", site.Session, s.apiPeople),
	}
}

// people lists who can sign in, and the keys of programs.
func (s *Server) people(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	p, err := s.Control.People(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{Migration: m, Section: "people", Title: "People and keys"}
	return s.Page(c, at, adminpages.PeoplePage(adminpages.People{
		MigrationID: m.ID, Accounts: p.Accounts, Keys: p.Keys, Now: time.Now(),
	}))
}

func (s *Server) apiPeople(c *fiber.Ctx) error {
	p, err := s.Control.People(c.UserContext(), c.Params("mid"))
	return site.Answer(c, p, err)
}
