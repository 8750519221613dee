package server

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// auditExported is how many entries one file has at most.
	auditExported = 10_000
	// auditRead is how many are read at once.
	auditRead = 1000
)

// auditExport gives the log with a filter as a file.
func (s *Server) auditExport(c *fiber.Ctx) error {
	if _, err := s.Migration(c); err != nil {
		return err
	}
	f, err := auditFilter(c)
	if err != nil {
		return err
	}
	format := c.Query("format", "csv")
	if format != "csv" && format != "jsonl" {
		return migration.Errorf(migration.Invalid,
			"there is no format %.20q: csv and jsonl are known", format)
	}
	var all []migration.AuditEntry
	for len(all) < auditExported {
		f.Limit = auditRead
		more, err := s.Control.Audit(c.UserContext(), f)
		if err != nil {
			return err
		}
		if all = append(all, more...); len(more) < auditRead {
			break
		}
		f.Before = more[len(more)-1].Seq
	}
	name := "audit-none"
	if len(all) > 0 {
		name = fmt.Sprintf("audit-%d-to-%d", all[len(all)-1].Seq, all[0].Seq)
	}
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+name+"."+format+`"`)
	if format == "jsonl" {
		c.Set(fiber.HeaderContentType, "application/jsonl; charset=utf-8")
		lines, err := auditLines(all)
		if err != nil {
			return err
		}
		return c.Send(lines)
	}
	c.Set(fiber.HeaderContentType, "text/csv; charset=utf-8")
	return c.Send(api.AuditCSV(all))
}

// auditLines writes entries as JSON, one a line, exactly as they are stored.
func auditLines(entries []migration.AuditEntry) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, entry := range entries {
		if err := e.Encode(entry); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
