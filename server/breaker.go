package server

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/outagepages"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func (s *Server) breakerRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/breaker", site.ByAccount, s.breaker),
		site.Post("/m/:mid/scans", site.Engineer, s.scanForm),
		site.Post("/m/:mid/scans/decisions/:finding", site.Engineer, s.confirmScan),
		site.Get(apiMigration+"/breaker", site.Session, s.apiBreaker),
		site.Post(apiMigration+"/scans", site.Engineer, s.apiSubmitScan),
		site.Post(apiMigration+"/scans/decisions/:finding", site.Engineer, s.apiConfirmScan),
	}
}

func (s *Server) breaker(c *fiber.Ctx) error { return s.breakerWith(c, nil) }

func (s *Server) breakerWith(c *fiber.Ctx, n *ui.Notice) error {
	o, err := s.Control.Overview(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	m := o.Migration
	b, err := s.Control.BreakerProof(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "breaker", Title: "Circuit breaker",
		Topics: []string{"overview"}, Path: "/m/" + m.ID + "/breaker", Notice: n,
	}
	return s.Page(c, at, outagepages.BreakerPage(outagepages.Breaker{
		MigrationID: m.ID, Proof: b, Now: time.Now(), Who: site.IdentityOf(c).Who(),
		Criterion: o.Checklist.Of(evidence.Drill),
	}))
}

// scanForm takes the file that switchyard scan --evidence wrote.
func (s *Server) scanForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if err := s.MayAct(c, "scan", mid); err != nil {
		return err
	}
	facts, err := scanFile(c)
	if err == nil {
		err = s.Control.SubmitScan(c.UserContext(), site.Actor(c), mid, facts)
	}
	if err != nil {
		n, err := site.Refused(c, "The scan is not kept", err)
		if err != nil {
			return err
		}
		return s.breakerWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "breaker"), fiber.StatusSeeOther)
}

// confirmScan stands by a decision of the submitted file, in the name of who is signed in.
func (s *Server) confirmScan(c *fiber.Ctx) error {
	mid := c.Params("mid")
	err := s.Control.ConfirmScanDecision(c.UserContext(), site.Actor(c), mid, c.Params("finding"))
	if err != nil {
		n, err := site.Refused(c, "The decision is not confirmed", err)
		if err != nil {
			return err
		}
		return s.breakerWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "breaker"), fiber.StatusSeeOther)
}

func scanFile(c *fiber.Ctx) (evidence.ScanFacts, error) {
	var facts evidence.ScanFacts
	h, err := c.FormFile("scan")
	if err != nil {
		return facts, migration.Errorf(migration.Invalid,
			"choose the file that switchyard scan --evidence wrote")
	}
	f, err := h.Open()
	if err != nil {
		return facts, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return facts, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&facts); err != nil {
		return facts, migration.Errorf(migration.Invalid,
			"this is not what switchyard scan --evidence writes: %w", err)
	}
	return facts, nil
}

func (s *Server) apiBreaker(c *fiber.Ctx) error {
	b, err := s.Control.BreakerProof(c.UserContext(), c.Params("mid"))
	return site.Answer(c, b, err)
}

func (s *Server) apiSubmitScan(c *fiber.Ctx) error {
	var in evidence.ScanFacts
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	return site.Done(c,
		s.Control.SubmitScan(c.UserContext(), site.Actor(c), c.Params("mid"), in))
}

func (s *Server) apiConfirmScan(c *fiber.Ctx) error {
	return site.Done(c, s.Control.ConfirmScanDecision(
		c.UserContext(), site.Actor(c), c.Params("mid"), c.Params("finding")))
}
