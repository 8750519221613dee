package server

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/web"
)

// send renders to memory first, so that a failure half way does not leave half a page.
func send(c *fiber.Ctx, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(c.UserContext(), &b); err != nil {
		return fmt.Errorf("render %s: %w", c.Path(), err)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Vary("HX-Request")
	return c.Send(b.Bytes())
}

// place is where a page belongs.
type place struct {
	migration migration.Migration
	section   string
	title     string
	topics    []string // changes that make it fetch itself again
	notice    *web.Notice
	path      string // other than the request's own, for pages that answer a form
}

// page sends a whole page, or its main part when the page's script asks for that.
func (s *Server) page(c *fiber.Ctx, p place, content templ.Component) error {
	if p.path == "" {
		p.path = c.OriginalURL()
	}
	f := web.Frame{Title: p.title, Section: p.section, Path: p.path, MigrationID: p.migration.ID, MigrationName: p.migration.Name,
		Who: identityOf(c).who(), Theme: themeOf(c), Version: s.opt.Version, Now: time.Now(), Notice: p.notice}
	if len(p.topics) > 0 {
		f.Stream = "/events?" + url.Values{"topic": p.topics, "since": {s.hub.mark()}}.Encode()
	}
	if isFragment(c) {
		return send(c, web.Main(f, content))
	}
	return send(c, web.Page(f, content))
}

// asset serves a file whose name holds the hash of its content, so it never changes.
func (s *Server) asset(c *fiber.Ctx) error {
	a, ok := static.Find(strings.TrimPrefix(c.Path(), static.Prefix))
	if !ok {
		return fiber.ErrNotFound
	}
	body, encoding := a.Encoded(c.Get(fiber.HeaderAcceptEncoding))
	c.Set(fiber.HeaderContentType, a.Type)
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	c.Vary(fiber.HeaderAcceptEncoding)
	if encoding != "" {
		c.Set(fiber.HeaderContentEncoding, encoding)
	}
	c.Response().SetBodyRaw(body) // shared between answers, and only read
	return nil
}
