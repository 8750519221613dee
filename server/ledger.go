package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/queuepages"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) ledgerRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/ledger", site.ByRole, s.ledger),
		site.GetShared("/m/:mid/ledger/:order", site.ByRole, s.ledgerOrder),
		site.Get(apiMigration+"/ledger", site.Session, s.apiLedger),
		site.Get(apiMigration+"/ledger/exceptions", site.Session, s.apiLedgerExceptions),
		site.Get(apiMigration+"/ledger/orders", site.Session, s.apiLedgerOrder),
	}
}

func (s *Server) ledger(c *fiber.Ctx) error {
	if c.Context().QueryArgs().Has("id") {
		return s.ledgerOrderWith(c, c.Query("id"))
	}
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	offset, err := site.Whole(c, "offset", 0)
	if err != nil {
		return err
	}
	v := queuepages.Ledger{
		MigrationID: m.ID, Now: time.Now(),
		Filter: workflows.LedgerFilter{
			Verdict: c.Query("verdict"), State: c.Query("state"),
			Offset: int(offset), Limit: queuepages.LedgerPage,
		},
	}
	v.Exceptions, v.Total, err = s.Control.LedgerExceptions(c.UserContext(), m.ID, v.Filter)
	if err != nil {
		return err
	}
	if v.Overview, err = s.Control.LedgerOverview(c.UserContext(), m.ID); err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "ledger", Title: "Order ledger", Topics: []string{"overview"},
	}
	return s.Page(c, at, queuepages.LedgerOverviewPage(v))
}

func (s *Server) ledgerOrder(c *fiber.Ctx) error {
	return s.ledgerOrderWith(c, site.Unescaped(c.Params("order")))
}

// ledgerOrderWith shows an order; one that nobody has heard of gets a page that says so.
func (s *Server) ledgerOrderWith(c *fiber.Ctx, id string) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	v := queuepages.LedgerOrder{MigrationID: m.ID, ID: id, Now: time.Now()}
	at := site.Place{
		Migration: m, Section: "ledger", Title: "Order " + id, Topics: []string{"overview"},
	}
	if v.Order, err = s.Control.LedgerOrder(c.UserContext(), m.ID, id); err != nil {
		if migration.KindOf(err) != migration.NotFound {
			return err
		}
		v.Unknown = site.Explain(err).Text
		at.Topics = nil
		c.Status(http.StatusNotFound)
	}
	return s.Page(c, at, queuepages.LedgerOrderPage(v))
}

func (s *Server) apiLedger(c *fiber.Ctx) error {
	l, err := s.Control.LedgerOverview(c.UserContext(), c.Params("mid"))
	return site.Answer(c, l, err)
}

func (s *Server) apiLedgerExceptions(c *fiber.Ctx) error {
	f := workflows.LedgerFilter{Verdict: c.Query("verdict"), State: c.Query("state")}
	var err error
	if f.Limit, err = strconv.Atoi(c.Query("limit", "100")); err != nil {
		return migration.Errorf(migration.Invalid, "limit %.40q is no number", c.Query("limit"))
	}
	if f.Offset, err = strconv.Atoi(c.Query("offset", "0")); err != nil {
		return migration.Errorf(migration.Invalid,
			"offset %.40q is no number", c.Query("offset"))
	}
	found, total, err := s.Control.LedgerExceptions(c.UserContext(), c.Params("mid"), f)
	return site.Answer(c, api.LedgerExceptionList{Exceptions: found, Total: total}, err)
}

func (s *Server) apiLedgerOrder(c *fiber.Ctx) error {
	o, err := s.Control.LedgerOrder(c.UserContext(), c.Params("mid"), c.Query("id"))
	return site.Answer(c, o, err)
}
