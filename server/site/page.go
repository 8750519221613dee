package site

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
	"github.com/switchyard-dev/switchyard/web/ui"
)

// Send renders to memory first, so that a failure half way does not leave half a page.
func Send(c *fiber.Ctx, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(c.UserContext(), &b); err != nil {
		return fmt.Errorf("render %s: %w", c.Path(), err)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Vary("HX-Request")
	return c.Send(b.Bytes())
}

// Place is where a page belongs.
type Place struct {
	Migration migration.Migration
	Section   string // entry of the navigation
	Title     string
	Topics    []string // changes that make it fetch itself again
	Notice    *ui.Notice
	Path      string // other than the request's own, for pages that answer a form
}

// Page sends a whole page, or its main part when the page's script asks for that.
func (s *Site) Page(c *fiber.Ctx, p Place, content templ.Component) error {
	if p.Path == "" {
		p.Path = c.OriginalURL()
	}
	f := ui.Frame{
		Title: p.Title, Section: p.Section, Path: p.Path,
		MigrationID: p.Migration.ID, MigrationName: p.Migration.Name,
		Who: IdentityOf(c).Who(), Theme: theme(c), Version: s.Version, Now: time.Now(),
		Notice: p.Notice,
	}
	if p.Migration.ID != "" {
		// a page without the count is better than none
		if n, err := s.Control.UnseenAlerts(c.UserContext(), p.Migration.ID); err == nil {
			f.Alerts = n
		}
	}
	if len(p.Topics) > 0 {
		q := url.Values{"topic": p.Topics, "since": {s.Live.Mark()}}
		f.Stream = "/events?" + q.Encode()
	}
	if isFragment(c) {
		return Send(c, ui.Main(f, content))
	}
	return Send(c, ui.Page(f, content))
}

// Bare sends a page without navigation.
func Bare(c *fiber.Ctx, title string, content templ.Component) error {
	return Send(c, ui.Bare(ui.Frame{Title: title, Theme: theme(c)}, content))
}

// Asset serves a file whose name holds the hash of its content, so it never changes.
func Asset(c *fiber.Ctx) error {
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

// theme is the choice of light or dark that the browser keeps; empty: the system's.
func theme(c *fiber.Ctx) string {
	if t := c.Cookies(ThemeCookie); t == "light" || t == "dark" {
		return t
	}
	return ""
}
