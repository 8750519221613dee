package server

import (
	"bytes"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
)

func (s *Server) redisAudit(c *fiber.Ctx) error {
	m, err := s.migration(c)
	if err != nil {
		return err
	}
	a, err := s.control.RedisAudit(c.UserContext(), m.ID)
	if err != nil {
		return err
	}
	return s.page(c, place{migration: m, section: "overview", title: "Redis audit", topics: []string{"overview"}}, web.RedisAuditPage(web.RedisAudit{MigrationID: m.ID, Audit: a, Now: time.Now()}))
}

// exportFile gives what the step Provision would bring about as a file.
func (s *Server) exportFile(c *fiber.Ctx) error {
	e, err := s.control.Export(c.UserContext(), c.Params("mid"), c.Params("format"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextPlainCharsetUTF8)
	c.Set(fiber.HeaderContentDisposition, "attachment; filename="+e.File)
	return c.SendString(e.Text)
}

// redisAuditExport gives the last audit as a file.
func (s *Server) redisAuditExport(c *fiber.Ctx) error {
	format := c.Query("format", "html")
	a, err := s.control.RedisAudit(c.UserContext(), c.Params("mid"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := audit.Write(&b, format, a.Reports...); err != nil {
		return migration.Errorf(migration.Invalid, "there is no format %.20q: html, markdown, json and text are", format)
	}
	media, extension := audit.ContentType(format)
	c.Set(fiber.HeaderContentType, media)
	c.Set(fiber.HeaderContentDisposition, fmt.Sprintf("attachment; filename=redis-audit-%s.%s", a.At.UTC().Format("20060102-1504"), extension))
	return c.Send(b.Bytes())
}
