package server

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) ledger(c *fiber.Ctx) error {
	if c.Context().QueryArgs().Has("id") {
		return s.ledgerOrderWith(c, c.Query("id"))
	}
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	offset, err := whole(c, "offset", 0)
	if err != nil {
		return err
	}
	v := web.Ledger{MigrationID: m.ID, Now: time.Now(), Filter: workflows.LedgerFilter{Verdict: c.Query("verdict"), State: c.Query("state"), Offset: int(offset), Limit: web.LedgerPage}}
	if v.Exceptions, v.Total, err = s.control.LedgerExceptions(c.UserContext(), m.ID, v.Filter); err != nil {
		return err
	}
	if v.Overview, err = s.control.LedgerOverview(c.UserContext(), m.ID); err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "ledger", title: "Order ledger", topics: []string{"overview"}}, web.LedgerOverviewPage(v))
}

func (s *Server) ledgerOrder(c *fiber.Ctx) error {
	return s.ledgerOrderWith(c, unescaped(c.Params("order")))
}

// ledgerOrderWith shows an order; one that nobody has heard of gets a page that says so.
func (s *Server) ledgerOrderWith(c *fiber.Ctx, id string) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	v, p := web.LedgerOrder{MigrationID: m.ID, ID: id, Now: time.Now()}, place{migration: m, section: "ledger", title: "Order " + id, topics: []string{"overview"}}
	if v.Order, err = s.control.LedgerOrder(c.UserContext(), m.ID, id); err != nil {
		if migration.KindOf(err) != migration.NotFound {
			return err
		}
		v.Unknown = explain(err).text
		p.topics = nil
		c.Status(http.StatusNotFound)
	}
	return s.page(c, p, web.LedgerOrderPage(v))
}
