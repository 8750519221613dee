package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// sharePath is where the links lead that need no account.
const sharePath = "/share/"

func (s *Server) reportRoutes() []site.Route {
	const page = "/m/:mid/report"
	return []site.Route{
		site.Get(page, site.Session, s.report),
		site.Get(page+"/links", site.Session, s.reportLinks),
		site.Post(page+"/links", site.Engineer, s.shareForm),
		site.Post(page+"/links/:link/revoke", site.Engineer, s.revokeLinkForm),
		site.Get(sharePath+":token", site.Ticket, s.shared),
		site.Get(apiMigration+"/report", site.Session, s.apiReport),
		site.Get(apiMigration+"/report/links", site.Session, s.apiReportLinks),
		site.Post(apiMigration+"/report/links", site.Engineer, s.apiShare),
		site.Delete(apiMigration+"/report/links/:link", site.Engineer, s.apiRevokeLink),
	}
}

func (s *Server) report(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	r, err := s.Control.Report(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{Migration: m, Section: "report", Title: "Report"}
	return s.Page(c, at, migrationpages.ReportPage(migrationpages.Report{Report: r}))
}

// shared shows the report to whoever has its link. It says nothing of the rest of the site.
func (s *Server) shared(c *fiber.Ctx) error {
	c.Set("X-Robots-Tag", "noindex, nofollow")
	r, gone, err := s.Control.SharedReport(c.UserContext(), c.Params("token"))
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	switch {
	case gone:
		c.Status(http.StatusGone)
		return site.Bare(c, "Link expired", ui.FailurePage(ui.Failure{
			Status: http.StatusGone, Title: "This link has expired or was revoked",
			Text:      "Ask whoever sent it for a new one.",
			RequestID: site.RequestID(c),
		}))
	case err != nil:
		return err
	}
	return site.Bare(c, "Report", migrationpages.ReportPage(
		migrationpages.Report{Report: r, Shared: true}))
}

func (s *Server) reportLinks(c *fiber.Ctx) error {
	return s.reportLinksWith(c, nil, migrationpages.ReportLinks{})
}

func (s *Server) reportLinksWith(
	c *fiber.Ctx, n *ui.Notice, v migrationpages.ReportLinks,
) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	if v.Links, err = s.Control.ReportLinks(c.UserContext(), m.ID); err != nil {
		return err
	}
	v.MigrationID, v.Now, v.Who = m.ID, time.Now(), site.IdentityOf(c).Who()
	at := site.Place{Migration: m, Section: "report", Title: "Share links",
		Path: "/m/" + m.ID + "/report/links", Notice: n}
	return s.Page(c, at, migrationpages.ReportLinksPage(v))
}

// shareForm shows the new link on its answer: it is not kept, so no other page can.
func (s *Server) shareForm(c *fiber.Ctx) error {
	within, err := time.ParseDuration(c.FormValue("within"))
	if err != nil {
		within = 0 // refused with the times that there are
	}
	made := migrationpages.ReportLinks{Note: c.FormValue("note")}
	_, token, err := s.Control.ShareReport(
		c.UserContext(), site.Actor(c), c.Params("mid"), made.Note, within)
	if err != nil {
		n, err := site.Refused(c, "No link was made", err)
		if err != nil {
			return err
		}
		return s.reportLinksWith(c, n, made)
	}
	made.Note, made.Address = "", s.linkAddress(c, token)
	return s.reportLinksWith(c, nil, made)
}

// linkAddress is where a link leads: below the configured address of the pages, or the one that
// the request came to.
func (s *Server) linkAddress(c *fiber.Ctx, token migration.Secret) string {
	base := s.Control.PublicURL()
	if base == "" {
		base = c.BaseURL()
	}
	return base + sharePath + token.Reveal()
}

func (s *Server) revokeLinkForm(c *fiber.Ctx) error {
	mid := c.Params("mid")
	err := s.Control.RevokeReportLink(c.UserContext(), site.Actor(c), mid, linkID(c))
	if err != nil {
		n, err := site.Refused(c, "The link was not revoked", err)
		if err != nil {
			return err
		}
		return s.reportLinksWith(c, n, migrationpages.ReportLinks{})
	}
	return c.Redirect(ui.URL(mid, "report", "links"), fiber.StatusSeeOther)
}

// linkID is the number in the path. What is none is 0, of which there is no link.
func linkID(c *fiber.Ctx) int64 {
	id, _ := strconv.ParseInt(c.Params("link"), 10, 64)
	return id
}

func (s *Server) apiReport(c *fiber.Ctx) error {
	r, err := s.Control.Report(c.UserContext(), c.Params("mid"))
	return site.Answer(c, r, err)
}

func (s *Server) apiReportLinks(c *fiber.Ctx) error {
	all, err := s.Control.ReportLinks(c.UserContext(), c.Params("mid"))
	return site.Answer(c, api.ReportLinkList{Links: site.List(all)}, err)
}

func (s *Server) apiShare(c *fiber.Ctx) error {
	var in api.NewReportLink
	if err := site.Decode(c, &in); err != nil {
		return err
	}
	l, token, err := s.Control.ShareReport(c.UserContext(), site.Actor(c), c.Params("mid"),
		in.Note, time.Duration(in.Hours)*time.Hour)
	if err != nil {
		return err
	}
	return site.Made(c, api.CreatedReportLink{Link: l, Address: s.linkAddress(c, token)}, nil)
}

func (s *Server) apiRevokeLink(c *fiber.Ctx) error {
	return site.Done(c, s.Control.RevokeReportLink(
		c.UserContext(), site.Actor(c), c.Params("mid"), linkID(c)))
}
