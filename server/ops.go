package server

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/static"
)

func (s *Server) opsRoutes() []site.Route {
	return []site.Route{
		site.Get("/healthz", site.Open, s.healthz),
		site.Get("/readyz", site.Open, s.readyz),
		// Counts only: nothing in it names an order, an account or an address.
		site.Get("/metrics", site.Open, s.metrics),
		site.Get(static.Prefix+"*", site.Open, site.Asset),
		site.Get("/api/v1/openapi.json", site.Open, s.apiDocument),
	}
}

func (s *Server) apiDocument(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(api.OpenAPI())
}

// healthz says that the process answers.
func (s *Server) healthz(c *fiber.Ctx) error { return c.SendString("ok\n") }

// probeTimeout bounds what a probe waits for the database: it must say what is wrong, not
// hang with it.
const probeTimeout = 3 * time.Second

// readyz says whether requests can be served, and what is wrong where something is. Flags
// that are held can be served without a database, so a database that fails does not take
// this process out of its load balancer: the workers would lose their flags with it.
func (s *Server) readyz(c *fiber.Ctx) error {
	detail := map[string]string{"database": "has not answered since the start", "flags": "ok"}
	ok := false
	if s.Controlled() {
		ctx, cancel := context.WithTimeout(c.UserContext(), probeTimeout)
		defer cancel()
		ok, detail = s.Control.Ready(ctx)
	}
	stale, since := s.readers.Flags.Stale()
	switch {
	case len(s.readers.Flags.IDs()) == 0:
		detail["flags"] = "none are known yet"
	case stale:
		detail["flags"] = "last known good, since " + since.UTC().Format(time.RFC3339)
		ok = true
	default:
		ok = true
	}
	if s.readers.Flags.Unsaved() {
		detail["flags_file"] = "could not be written: a restart without the database would " +
			"serve older flags"
	}
	if !ok {
		c.Status(http.StatusServiceUnavailable)
	}
	return c.JSON(detail)
}

// traffic counts answers for /metrics.
type traffic struct {
	answers [6]atomic.Int64 // by first digit of the status
	nanos   atomic.Int64
}

func (t *traffic) count(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < len(t.answers) {
		t.answers[class].Add(1)
	}
	t.nanos.Add(int64(took))
}
