package server

import (
	"bytes"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/migrationpages"
)

func (s *Server) redisAuditRoutes() []site.Route {
	return []site.Route{
		site.GetShared("/m/:mid/redis-audit", site.ByRole, s.redisAudit),
		site.Get("/m/:mid/redis-audit/export", site.Session, s.redisAuditExport),
		site.Get(apiMigration+"/redis-audit", site.Session, s.apiRedisAudit),
	}
}

func (s *Server) redisAudit(c *fiber.Ctx) error {
	m, err := s.Migration(c)
	if err != nil {
		return err
	}
	a, err := s.Control.RedisAudit(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	at := site.Place{
		Migration: m, Section: "overview", Title: "Redis audit", Topics: []string{"overview"},
	}
	return s.Page(c, at, migrationpages.RedisAuditPage(
		migrationpages.RedisAudit{MigrationID: m.ID, Audit: a, Now: time.Now()}))
}

// redisAuditExport gives the last audit as a file.
func (s *Server) redisAuditExport(c *fiber.Ctx) error {
	format := c.Query("format", "html")
	a, err := s.Control.RedisAudit(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := audit.Write(&b, format, a.Reports...); err != nil {
		return migration.Errorf(migration.Invalid,
			"there is no format %.20q: html, markdown, json and text are", format)
	}
	media, extension := audit.ContentType(format)
	c.Set(fiber.HeaderContentType, media)
	c.Set(fiber.HeaderContentDisposition, fmt.Sprintf(
		"attachment; filename=redis-audit-%s.%s",
		a.At.UTC().Format("20060102-1504"), extension))
	return c.Send(b.Bytes())
}

func (s *Server) apiRedisAudit(c *fiber.Ctx) error {
	a, err := s.Control.RedisAudit(c.UserContext(), c.Params("mid"))
	return site.Answer(c, a, err)
}
