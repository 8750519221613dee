package server

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
	"github.com/switchyard-dev/switchyard/workflows"
)

const auditShown = 50

func (s *Server) auditLogRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/audit", site.ByRole, s.auditLog),
		site.Get("/m/:mid/audit/export", site.Session, s.auditExport),
		site.Get("/api/v1/audit", site.Session, s.apiAuditLog),
	}
}

// auditFilter reads which lines of the log are asked for.
func auditFilter(c *fiber.Ctx) (workflows.AuditFilter, error) {
	f := workflows.AuditFilter{
		Actor: c.Query("person"), Action: c.Query("action"), Subject: c.Query("subject"),
		Result: c.Query("result"),
	}
	var err error
	if f.Before, err = site.Whole(c, "before", 0); err != nil {
		return f, err
	}
	if f.Since, _, err = moment(c, "since"); err != nil {
		return f, err
	}
	until, whole, err := moment(c, "until")
	if whole { // the day is included
		until = until.AddDate(0, 0, 1)
	}
	f.Until = until
	return f, err
}

// moment reads a time or a date of the query, in UTC where no zone is given; zero: there is none.
func moment(c *fiber.Ctx, name string) (t time.Time, wholeDay bool, err error) {
	text := c.Query(name)
	if text == "" {
		return t, false, nil
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04",
	} {
		if t, err = time.Parse(layout, text); err == nil {
			return t, false, nil
		}
	}
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	return t, false, migration.Errorf(migration.Invalid, "%s is %.40q: write a date such as "+
		"2026-11-23, or a time in UTC such as 2026-11-23 14:05", name, text)
}

func (s *Server) auditLog(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	f, err := auditFilter(c)
	if err != nil {
		return err
	}
	f.Limit = auditShown + 1 // one more tells whether there are older ones
	entries, err := s.Control.Audit(c.UserContext(), f)
	if err != nil {
		return err
	}
	v := adminpages.Audit{
		MigrationID: m.ID, Entries: entries, Filter: f, Since: c.Query("since"),
		Until: c.Query("until"), ExportMost: auditExported,
	}
	for _, st := range m.Plan.Steps {
		v.Steps = append(v.Steps, st.ID)
	}
	if len(entries) > auditShown {
		v.Entries, v.Older = entries[:auditShown], entries[auditShown-1].Seq
	}
	at := site.Place{Migration: m, Section: "audit", Title: "Audit log"}
	if f.Before == 0 { // older pages do not change
		at.Topics = []string{"audit"}
	}
	return s.Page(c, at, adminpages.AuditPage(v))
}

func (s *Server) apiAuditLog(c *fiber.Ctx) error {
	f, err := auditFilter(c)
	if err != nil {
		return err
	}
	if f.Limit, err = site.Limit(c, 50); err != nil {
		return err
	}
	entries, err := s.Control.Audit(c.UserContext(), f)
	page := api.AuditPage{Entries: site.List(entries)}
	if len(entries) == f.Limit {
		page.Next = entries[len(entries)-1].Seq
	}
	return site.Answer(c, page, err)
}
