package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

func (s *Server) capacityRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/capacity", site.ByRole, s.capacity),
		site.Get(apiMigration+"/capacity", site.Session, s.apiCapacity),
	}
}

func (s *Server) capacity(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	a, err := s.Control.Capacity(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "capacity", Title: "Cost and capacity",
		Topics: []string{"overview"},
	}
	return s.Page(c, at, adminpages.CapacityPage(
		adminpages.Capacity{MigrationID: m.ID, Capacity: a, Now: time.Now()}))
}

func (s *Server) apiCapacity(c *fiber.Ctx) error {
	a, err := s.Control.Capacity(c.UserContext(), c.Params("mid"))
	return site.Answer(c, a, err)
}
