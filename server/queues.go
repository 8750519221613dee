package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/charts"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) queueRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/queues", site.ByRole, s.queues),
		site.GetShared("/m/:mid/queues/:queue", site.ByRole, s.queue),
		site.GetShared("/m/:mid/cutover-report", site.ByRole, s.cutoverReport),
		site.Get(apiMigration+"/queues", site.Session, s.apiQueues),
		site.Get(apiMigration+"/queues/:queue", site.Session, s.apiQueue),
		site.Get(apiMigration+"/cutover-report", site.Session, s.apiCutoverReport),
		site.Get(apiMigration+"/endpoints", site.Session, s.apiEndpoints),
	}
}

func (s *Server) queues(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	b, err := s.Control.Queues(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "queues", Title: "Queues", Topics: []string{"queues"},
	}
	v := queuepages.Queues{MigrationID: m.ID, Board: b, Now: time.Now()}
	v.Charts, err = s.chartsOf(c, m.ID, "1h", workflows.SeriesPoints, charts.Queues()...)
	if err != nil {
		return err
	}
	return s.Page(c, at, queuepages.QueuesPage(v))
}

func (s *Server) queue(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	d, err := s.Control.Queue(c.UserContext(), m.ID, site.Unescaped(c.Params("queue")))
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "queues", Title: d.Queue, Topics: []string{"queues"},
	}
	return s.Page(c, at, queuepages.QueuePage(
		queuepages.QueueDetail{MigrationID: m.ID, Detail: d, Now: time.Now()}))
}

func (s *Server) cutoverReport(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	r, err := s.Control.CutoverReport(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "queues", Title: "If we cut over now",
		Topics: []string{"queues"},
	}
	return s.Page(c, at, queuepages.CutoverReportPage(
		queuepages.CutoverReport{MigrationID: m.ID, Report: r, Now: time.Now()}))
}

func (s *Server) apiQueues(c *fiber.Ctx) error {
	b, err := s.Control.Queues(c.UserContext(), c.Params("mid"))
	return site.Answer(c, b, err)
}

func (s *Server) apiQueue(c *fiber.Ctx) error {
	q, err := s.Control.Queue(
		c.UserContext(), c.Params("mid"), site.Unescaped(c.Params("queue")))
	return site.Answer(c, q, err)
}

func (s *Server) apiCutoverReport(c *fiber.Ctx) error {
	r, err := s.Control.CutoverReport(c.UserContext(), c.Params("mid"))
	return site.Answer(c, r, err)
}

func (s *Server) apiEndpoints(c *fiber.Ctx) error {
	b, err := s.Control.Queues(c.UserContext(), c.Params("mid"))
	out := api.EndpointList{Endpoints: []api.Endpoint{}}
	for _, side := range b.Sides {
		out.Endpoints = append(out.Endpoints, side.Endpoint)
	}
	return site.Answer(c, out, err)
}
