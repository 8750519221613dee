package server

import (
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) peopleRoutes() []site.Route {
	return []site.Route{site.Get("/m/:mid/people", site.Session, s.people)}
}

// people lists who can sign in, and the keys of programs.
func (s *Server) people(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	v := adminpages.People{MigrationID: m.ID, Now: time.Now()}
	if v.Accounts, err = s.Control.Accounts(c.UserContext()); err != nil {
		return err
	}
	if v.Keys, err = s.Control.APIKeys(c.UserContext(), m.ID); err != nil {
		return err
	}
	v.Keys = slices.DeleteFunc(v.Keys, func(k migration.APIKey) bool { return k.RevokedAt != nil })
	at := site.Place{Migration: m, Section: "people", Title: "People and keys"}
	return s.Page(c, at, adminpages.PeoplePage(v))
}
