package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (s *Server) setupRoutes() []site.Route {
	const page = "/m/:mid/setup"
	return []site.Route{
		site.GetShared(page, site.ByRole, s.setup),
		site.Post(page, site.Engineer, s.setupTestForm),
		site.Post(page+"/address", site.Engineer, s.setupAddressForm),
		site.Get(apiMigration+"/setup", site.Session, s.apiSetup),
		site.Post(apiMigration+"/setup", site.Engineer, s.apiTestSetup),
		site.Post(apiMigration+"/setup/address", site.Engineer, s.apiTestAddress),
	}
}

func (s *Server) setup(c *fiber.Ctx) error { return s.setupWith(c, nil) }

func (s *Server) setupWith(c *fiber.Ctx, n *ui.Notice) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	v := migrationpages.Setup{MigrationID: m.ID, Now: time.Now(), Who: site.IdentityOf(c).Who()}
	if v.Setup, err = s.Control.Setup(c.UserContext(), m.ID); err != nil {
		return err
	}
	at := site.Place{Migration: m, Section: "setup", Title: "Set-up", Topics: []string{"setup"},
		Path: ui.URL(m.ID, "setup"), Notice: n}
	return s.Page(c, at, migrationpages.SetupPage(v))
}

// setupTestForm begins a test. The page that follows shows each answer as it comes.
func (s *Server) setupTestForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	_, err := s.Control.TestSetup(c.UserContext(), site.Actor(c), mid, c.FormValue("part"))
	if err != nil {
		n, err := site.Refused(c, "The test was not started", err)
		if err != nil {
			return err
		}
		return s.setupWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "setup"), fiber.StatusSeeOther)
}

// setupAddressForm tests an address. It is not put back into the form, whatever becomes of it: it
// may hold a password.
func (s *Server) setupAddressForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	_, err := s.Control.TestAddress(c.UserContext(), site.Actor(c), mid,
		migration.Secret(c.FormValue("address")))
	if err != nil {
		n, err := site.Refused(c, "The address was not tested", err)
		if err != nil {
			return err
		}
		return s.setupWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "setup")+"#address", fiber.StatusSeeOther)
}

func (s *Server) apiSetup(c *fiber.Ctx) error {
	all, err := s.Control.Setup(c.UserContext(), c.Params("mid"))
	return site.Answer(c, all, err)
}

func (s *Server) apiTestSetup(c *fiber.Ctx) error {
	var in api.SetupRequest
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	all, err := s.Control.TestSetup(c.UserContext(), site.Actor(c), c.Params("mid"), in.Part)
	if err != nil {
		return err
	}
	return site.Answer(c.Status(fiber.StatusAccepted), all, nil)
}

func (s *Server) apiTestAddress(c *fiber.Ctx) error {
	var in api.AddressRequest
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	test, err := s.Control.TestAddress(c.UserContext(), site.Actor(c), c.Params("mid"),
		migration.Secret(in.Address))
	return site.Answer(c, test, err)
}
