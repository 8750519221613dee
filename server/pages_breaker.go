package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func (s *Server) breaker(c *fiber.Ctx) error { return s.breakerWith(c, nil) }

func (s *Server) breakerWith(c *fiber.Ctx, n *web.Notice) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	b, err := s.control.BreakerProof(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "breaker", title: "Circuit breaker", topics: []string{"overview"}, path: "/m/" + m.ID + "/breaker", notice: n},
		web.BreakerPage(web.Breaker{MigrationID: m.ID, Proof: b, Now: time.Now(), Who: identityOf(c).who()}))
}

func (s *Server) apiBreaker(c *fiber.Ctx) error {
	b, err := s.control.BreakerProof(c.UserContext(), c.Params("mid"))
	return answer(c, b, err)
}

func (s *Server) apiSubmitScan(c *fiber.Ctx) error {
	var in evidence.ScanFacts
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := s.control.SubmitScan(c.UserContext(), identityOf(c).Actor, c.Params("mid"), in); err != nil {
		return err
	}
	return c.SendStatus(http.StatusNoContent)
}

// scanForm takes the file that switchyard scan --evidence wrote.
func (s *Server) scanForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if err := s.mayAct(c, "scan", mid); err != nil {
		return err
	}
	facts, err := scanFile(c)
	if err == nil {
		err = s.control.SubmitScan(c.UserContext(), identityOf(c).Actor, mid, facts)
	}
	if err != nil {
		n, err := refused(c, "The scan is not kept", err)
		if err != nil {
			return err
		}
		return s.breakerWith(c, n)
	}
	return c.Redirect("/m/"+url.PathEscape(mid)+"/breaker", fiber.StatusSeeOther)
}

func scanFile(c *fiber.Ctx) (evidence.ScanFacts, error) {
	var facts evidence.ScanFacts
	h, err := c.FormFile("scan")
	if err != nil {
		return facts, migration.Errorf(migration.Invalid, "choose the file that switchyard scan --evidence wrote")
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
		return facts, migration.Errorf(migration.Invalid, "this is not what switchyard scan --evidence writes: %w", err)
	}
	return facts, nil
}
