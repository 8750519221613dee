package server

import (
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/adminpages"
)

const auditShown = 50

func (s *Server) auditLogRoutes() []site.Route {
	return []site.Route{
		site.Get("/m/:mid/audit", site.Session, s.auditLog),
		site.Get("/api/v1/audit", site.Session, s.apiAuditLog),
	}
}

func (s *Server) auditLog(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	before, err := site.Whole(c, "before", 0)
	if err != nil {
		return err
	}
	entries, err := s.Control.Audit(c.UserContext(), before, auditShown)
	if err != nil {
		return err
	}
	v := adminpages.Audit{
		MigrationID: m.ID, Entries: entries, Newest: before == 0,
		Path: "/m/" + m.ID + "/audit",
	}
	if len(entries) == auditShown && entries[len(entries)-1].Seq > 1 {
		v.Older = entries[len(entries)-1].Seq
	}
	at := site.Place{Migration: m, Section: "audit", Title: "Audit log"}
	return s.Page(c, at, adminpages.AuditPage(v))
}

func (s *Server) apiAuditLog(c *fiber.Ctx) error {
	before, err := site.Whole(c, "before", 0)
	if err != nil {
		return err
	}
	limit, err := site.Limit(c, 50)
	if err != nil {
		return err
	}
	entries, err := s.Control.Audit(c.UserContext(), before, limit)
	page := api.AuditPage{Entries: site.List(entries)}
	if len(entries) == limit {
		page.Next = entries[len(entries)-1].Seq
	}
	return site.Answer(c, page, err)
}
