package site

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/live"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// Send sends HTML, to each reader with their own token in its forms.
func Send(c *fiber.Ctx, page templ.Component) error {
	d, err := render(c.UserContext(), page)
	if err != nil {
		return fmt.Errorf("render %s: %w", c.Path(), err)
	}
	return d.send(c)
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
		Who: IdentityOf(c).Who(), Version: s.Version, Now: time.Now(), Notice: p.Notice,
	}
	look := LookOf(c)
	f.Theme, f.Density, f.Times, f.NoKeys = look.Theme, look.Density, look.Times, look.NoKeys
	if p.Migration.ID != "" {
		h := s.Control.Headline(p.Migration.ID)
		f.Headline = &h
		// a page without the count is better than none
		if n, err := s.Control.UnseenAlerts(c.UserContext(), p.Migration.ID); err == nil {
			f.Alerts = n
		}
	}
	topics := []string{live.Headline}
	if len(p.Topics) > 0 {
		f.Updates, f.Tag, topics = true, tagHole, p.Topics
	}
	moment, _ := c.Locals(momentKey).(uint64)
	q := url.Values{"topic": topics, "since": {s.Live.Mark(moment)}}
	f.Stream = "/events?" + q.Encode()
	s.memory.shown(p.Migration)
	page := ui.Page
	if isFragment(c) {
		c.Set(FragmentHeader, fragmentMain)
		page = ui.Main
	}
	d, err := render(c.UserContext(), page(f, content))
	if err != nil {
		return fmt.Errorf("render %s: %w", c.Path(), err)
	}
	if share(c, p, d) {
		return nil
	}
	return d.send(c)
}

// Part sends a part of a page, with the mark without which its script would not put it there.
func Part(c *fiber.Ctx, part templ.Component) error {
	c.Set(FragmentHeader, fragmentMain)
	return Send(c, part)
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

// Look is how a browser wants pages shown; empty fields are the usual.
type Look struct {
	Theme, Density, Times string
	NoKeys                bool
}

// LookOf reads what the browser keeps in cookies.
func LookOf(c *fiber.Ctx) Look {
	l := Look{Theme: theme(c), NoKeys: c.Cookies(KeysCookie) == "off"}
	if c.Cookies(DensityCookie) == "compact" {
		l.Density = "compact"
	}
	if c.Cookies(TimesCookie) == "utc" {
		l.Times = "utc"
	}
	return l
}

// theme is the choice of light or dark that the browser keeps; empty: the system's.
func theme(c *fiber.Ctx) string {
	if t := c.Cookies(ThemeCookie); t == "light" || t == "dark" {
		return t
	}
	return ""
}
