package server

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

func (s *Server) waiverRoutes() []site.Route {
	const page = "/m/:mid/waivers"
	return []site.Route{
		site.GetShared(page, site.ByAccount, s.waivers),
		site.Post(page, site.Engineer, s.waiveForm),
		site.Post(page+"/:waiver/revoke", site.Engineer, s.revokeForm),
		site.Get(apiMigration+"/waivers", site.Session, s.apiWaivers),
		site.Post(apiMigration+"/waivers", site.Engineer, s.apiWaive),
		site.Delete(apiMigration+"/waivers/:waiver", site.Engineer, s.apiRevoke),
	}
}

func (s *Server) waivers(c *fiber.Ctx) error {
	return s.waiversWith(c, nil, migration.Waiver{Member: c.Query("member")})
}

// waiversWith shows the waivers, and what became of an attempt to sign one.
func (s *Server) waiversWith(c *fiber.Ctx, n *ui.Notice, draft migration.Waiver) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	v := migrationpages.Waivers{MigrationID: m.ID, Draft: draft, Now: time.Now(),
		Who: site.IdentityOf(c).Who()}
	if v.Waivers, err = s.Control.Waivers(c.UserContext(), m.ID); err != nil {
		return err
	}
	if v.Unknown, err = s.Control.Unknown(c.UserContext(), m.ID); err != nil {
		return err
	}
	at := site.Place{Migration: m, Section: "overview", Title: "Waivers",
		Topics: []string{"overview"}, Path: "/m/" + m.ID + "/waivers", Notice: n}
	return s.Page(c, at, migrationpages.WaiversPage(v))
}

func (s *Server) waiveForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	w := migration.Waiver{Member: c.FormValue("member"), Why: c.FormValue("why"),
		Until: s.Control.WaiverUntil()}
	_, err := s.Control.Waive(c.UserContext(), site.Actor(c), mid, w)
	if err != nil {
		n, err := site.Refused(c, "The waiver was not signed", err)
		if err != nil {
			return err
		}
		return s.waiversWith(c, n, w)
	}
	return c.Redirect(ui.URL(mid, "waivers"), fiber.StatusSeeOther)
}

func (s *Server) revokeForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	err := s.Control.Revoke(c.UserContext(), site.Actor(c), mid, waiverID(c))
	if err != nil {
		n, err := site.Refused(c, "The waiver was not taken back", err)
		if err != nil {
			return err
		}
		return s.waiversWith(c, n, migration.Waiver{})
	}
	return c.Redirect(ui.URL(mid, "waivers"), fiber.StatusSeeOther)
}

// waiverID is the number in the path. What is none is 0, of which there is no waiver.
func waiverID(c *fiber.Ctx) int64 {
	id, _ := strconv.ParseInt(c.Params("waiver"), 10, 64)
	return id
}

func (s *Server) apiWaivers(c *fiber.Ctx) error {
	all, err := s.Control.Waivers(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.WaiverList{Waivers: site.List(all)}, err)
}

func (s *Server) apiWaive(c *fiber.Ctx) error {
	var r api.WaiverRequest
	if err := site.Decode(c, &r); err != nil {
		return err
	}
	if r.Until.IsZero() {
		r.Until = s.Control.WaiverUntil()
	}
	signed, err := s.Control.Waive(c.UserContext(), site.Actor(c), c.Params("mid"),
		migration.Waiver{Member: r.Member, Why: r.Why, Until: r.Until})
	if err != nil {
		return err
	}
	return site.Answer(c.Status(fiber.StatusCreated), signed, nil)
}

func (s *Server) apiRevoke(c *fiber.Ctx) error {
	err := s.Control.Revoke(c.UserContext(), site.Actor(c), c.Params("mid"), waiverID(c))
	if err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
