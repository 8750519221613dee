package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/web"
)

func (s *Server) capacity(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	a, err := s.control.Capacity(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "capacity", title: "Cost and capacity", topics: []string{"overview"}}, web.CapacityPage(web.Capacity{MigrationID: m.ID, Capacity: a, Now: time.Now()}))
}
