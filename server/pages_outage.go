package server

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
)

// usualOutage is what the what-if shows before somebody asks: an automatic failover.
const usualOutage = 25 * time.Second

func (s *Server) outage(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	length := usualOutage
	if text := c.Query("length"); text != "" {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(web.Lengths) {
			return migration.Errorf(migration.Invalid, "length %.20q is no place on the slider: 0 to %d", text, len(web.Lengths)-1)
		}
		length = web.Lengths[i]
	}
	o, err := s.control.Outage(c.UserContext(), m.ID, length)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "outage", title: "Outage clock", topics: []string{"overview"}}, web.OutagePage(web.Outage{MigrationID: m.ID, Outage: o, Now: time.Now()}))
}

func (s *Server) apiOutage(c *fiber.Ctx) error {
	length, err := time.ParseDuration(c.Query("for", usualOutage.String()))
	if err != nil || length < 0 || length > 30*24*time.Hour {
		return migration.Errorf(migration.Invalid, "for %.20q is no length of an outage: a duration such as 25s or 5h, up to 720h", c.Query("for"))
	}
	o, err := s.control.Outage(c.UserContext(), c.Params("mid"), length)
	return answer(c, o, err)
}
