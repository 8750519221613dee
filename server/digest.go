package server

import (
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// digest shows the weekly digest as it would be sent now.
func (s *Server) digest(c *fiber.Ctx) error { return s.digestWith(c, nil) }

func (s *Server) digestWith(c *fiber.Ctx, n *ui.Notice) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	p, err := s.Control.Digest(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "alerts", Title: "Weekly digest",
		Path: "/m/" + m.ID + "/notifications/digest", Notice: n,
	}
	return s.Page(c, at, adminpages.DigestPage(adminpages.Digest{
		MigrationID: m.ID, Preview: p, Who: site.IdentityOf(c).Who(),
	}))
}

// digestForm sends the digest. The page of notifications shows which channel has taken it.
func (s *Server) digestForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	if _, err := s.Control.SendDigest(c.UserContext(), site.Actor(c), mid); err != nil {
		n, err := site.Refused(c, "The digest was not sent", err)
		if err != nil {
			return err
		}
		return s.digestWith(c, n)
	}
	return c.Redirect(ui.URL(mid, "notifications"), fiber.StatusSeeOther)
}

func (s *Server) apiDigest(c *fiber.Ctx) error {
	p, err := s.Control.Digest(c.UserContext(), c.Params("mid"))
	return site.Answer(c, p, err)
}

func (s *Server) apiSendDigest(c *fiber.Ctx) error {
	p, err := s.Control.SendDigest(c.UserContext(), site.Actor(c), c.Params("mid"))
	return site.Answer(c, p, err)
}
