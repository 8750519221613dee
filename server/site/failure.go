package site

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/web/ui"
)

const (
	// FragmentHeader marks the answers that a page's script may put into the page: what a proxy
	// answers in our place does not carry it.
	FragmentHeader = "X-Switchyard-Fragment"
	// fragmentMain and fragmentToast are what it says.
	fragmentMain, fragmentToast = "main", "toast"

	// failureBudget bounds the rendering of an error: the request's own time may be over.
	failureBudget = 2 * time.Second
	// lookBudget bounds finding out whom an error is for, where that is not known yet.
	lookBudget = 300 * time.Millisecond

	handledKey = "handled"
)

// Handling notes that the request was let through to its handler: until then nothing can have
// been changed.
func Handling(c *fiber.Ctx) { c.Locals(handledKey, true) }

// failure is an error as its page shows it.
func (s *Site) failure(c *fiber.Ctx, title string, f Failure) ui.Failure {
	v := ui.Failure{
		Status: f.Status, Title: title, Text: f.Text, Changed: changed(c, f), Gates: f.Gates,
		RequestID: RequestID(c),
	}
	again := f.Status >= http.StatusInternalServerError ||
		f.Status == http.StatusTooManyRequests
	page := s.FormPage(c)
	switch {
	case f.Status == http.StatusUnauthorized:
		v.Links = []ui.Link{{Label: "Sign in", URL: SignIn(page, "")}}
		return v
	case Safe(c.Method()) && again:
		v.Links = []ui.Link{{Label: "Try again", URL: c.OriginalURL()}}
		if c.Method() == fiber.MethodGet && f.Status >= http.StatusInternalServerError {
			v.Heal = c.OriginalURL()
		}
	case !Safe(c.Method()) && again && handled(c):
		v.Links = []ui.Link{{Label: "Check the current state", URL: page}}
	case !Safe(c.Method()):
		v.Links = []ui.Link{{Label: "Back to the form", URL: page}}
	}
	v.Links = append(v.Links, ui.Link{Label: "Overview", URL: "/"})
	return v
}

// changed says whether a request that failed changed anything, and never more than is known.
func changed(c *fiber.Ctx, f Failure) string {
	switch {
	case Safe(c.Method()):
		return "Nothing was changed: this request only reads."
	case f.Status < http.StatusInternalServerError || !handled(c):
		return "Nothing was changed: the request was refused before anything was done."
	}
	return "It is not known whether anything was changed. Check the current state before you " +
		"try again."
}

func handled(c *fiber.Ctx) bool {
	is, _ := c.Locals(handledKey).(bool)
	return is
}

// tell sends an error within a budget of its own, to whoever is known without the database. It
// always sends something.
func (s *Site) tell(c *fiber.Ctx, v ui.Failure) (err error) {
	before := c.UserContext()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(before), failureBudget)
	c.SetUserContext(ctx)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		cancel()
		c.SetUserContext(before)
		if err != nil {
			s.Log.Error("error page not rendered", "request", v.RequestID, "err", err)
			err = plain(c, v)
		}
	}()
	if isFragment(c) {
		// The page stays as it is; without this the error would replace it.
		c.Set("HX-Retarget", "#toasts")
		c.Set("HX-Reswap", "innerHTML")
		c.Set(FragmentHeader, fragmentToast)
		return Send(c, ui.Toast(v))
	}
	f, signedIn := s.frameOf(c, v)
	if !signedIn {
		return Send(c, ui.Bare(f, ui.FailurePage(v)))
	}
	return Send(c, ui.Page(f, ui.FailurePage(v)))
}

// frameOf is the frame around an error, and whether it is for somebody who is signed in, as far
// as that can be told without the database.
func (s *Site) frameOf(c *fiber.Ctx, v ui.Failure) (ui.Frame, bool) {
	f := ui.Frame{
		Title: v.Title, Path: s.FormPage(c), Theme: theme(c), Version: s.Version,
		Now: time.Now(),
	}
	id, known := s.remembered(c, v.Status)
	f.MigrationID, f.MigrationName = s.memory.migration(pathMigration(c.Path()))
	if known {
		c.Locals(whoKey, id) // the forms around the error are of this session
		f.Who = id.Who()
		return f, true
	}
	if v.Status < http.StatusInternalServerError || c.Cookies(s.cookieName()) == "" {
		return f, false
	}
	// There is a session, and nobody can say whose: the frame without anything that the address
	// does not say.
	f.MigrationID = pathMigration(c.Path())
	f.MigrationName = f.MigrationID
	return f, true
}

// remembered gives who asks: as they were let in, or as they were when last seen.
func (s *Site) remembered(c *fiber.Ctx, status int) (Identity, bool) {
	if id := IdentityOf(c); id.Name != "" {
		return id, true
	}
	token := c.Cookies(s.cookieName())
	if token == "" {
		return Identity{}, false
	}
	if actor, ok := s.memory.actor(token); ok {
		return Identity{Actor: actor, Token: token, Cookie: true}, true
	}
	if status >= http.StatusInternalServerError || !s.Controlled() {
		return Identity{}, false
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), lookBudget)
	defer cancel()
	actor, err := s.Control.Authenticate(ctx, token)
	return Identity{Actor: actor, Token: token, Cookie: true}, err == nil
}

// plain is an error page that needs nothing that can fail.
func plain(c *fiber.Ctx, v ui.Failure) error {
	if isFragment(c) {
		c.Set(FragmentHeader, fragmentToast)
		return c.SendString("")
	}
	e := html.EscapeString
	var links strings.Builder
	for _, l := range v.Links {
		fmt.Fprintf(&links, `<a class="button" href="%s">%s</a> `, e(l.URL), e(l.Label))
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	return c.SendString(fmt.Sprintf(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">`+
		`<meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<title>%s · Switchyard</title><link rel="stylesheet" href="%s"></head>
<body class="bare"><main id="main"><section class="card failure" data-status="%d">
<p class="meta">Error %d</p><h1>%s</h1><p>%s</p><p><strong>%s</strong></p><p>%s</p>
<p class="meta">Request <code>%s</code></p></section></main></body></html>
`, e(v.Title), static.URL("app.css"), v.Status, v.Status, e(v.Title), e(ui.Title(v.Text)),
		e(v.Changed), links.String(), e(v.RequestID)))
}

// SignIn is the address that asks who somebody is and leads on to a page. lost says what became
// of what they had sent: LostSession, LostForm or nothing.
func SignIn(next, lost string) string {
	q := url.Values{"next": {next}}
	if lost != "" {
		q.Set("lost", lost)
	}
	return "/sign-in?" + q.Encode()
}

const (
	// LostSession says that a form was sent after its session had ended.
	LostSession = "session"
	// LostForm says that a form was sent without any session.
	LostForm = "form"
)

// Lost says which of them became of a form that nobody signed in for has sent.
func (s *Site) Lost(c *fiber.Ctx) string {
	if c.Cookies(s.cookieName()) != "" {
		return LostSession
	}
	return LostForm
}

// SubmitsForm reports whether a person's browser sends a form, rather than a program or the
// page's script.
func SubmitsForm(c *fiber.Ctx) bool {
	kind, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	return c.Method() == fiber.MethodPost && !isAPI(c) && !isFragment(c) &&
		(kind == fiber.MIMEApplicationForm || kind == fiber.MIMEMultipartForm)
}

// FormPage is the page that a request belongs to: its own, or for a form the one that it is on.
// The browser says which that was, with its query; else it is the nearest page above.
func (s *Site) FormPage(c *fiber.Ctx) string {
	if Safe(c.Method()) && s.isPage(c.Path()) {
		return c.OriginalURL()
	}
	from, err := url.Parse(c.Get(fiber.HeaderReferer))
	if err == nil && from.Host == c.Hostname() && s.isPage(from.EscapedPath()) &&
		from.EscapedPath() != "/sign-in" {
		return Local(from.RequestURI())
	}
	if s.isPage(c.Path()) {
		return c.Path()
	}
	return s.PageAbove(c.Path())
}

// IsPage reports whether a route gives a page that people look at.
func IsPage(r Route) bool {
	if r.Method != fiber.MethodGet || r.Who != Session && r.Path != "/sign-in" {
		return false
	}
	return !strings.HasPrefix(r.Path, "/api/") && r.Path != "/events" &&
		!strings.Contains(r.Path, "/export")
}

// PageAbove is the nearest page above an address: a run's page for what is done with the run.
func (s *Site) PageAbove(path string) string {
	parts := strings.Split(path, "/")
	for n := len(parts) - 1; n > 1; n-- {
		if above := strings.Join(parts[:n], "/"); s.isPage(above) {
			return above
		}
	}
	return "/"
}

func (s *Site) isPage(path string) bool {
	parts := strings.Split(path, "/")
	for _, page := range s.pages {
		if fits(page, parts) {
			return true
		}
	}
	return false
}

// fits reports whether the parts of a path are of a route's form.
func fits(route string, parts []string) bool {
	of := strings.Split(route, "/")
	if len(of) != len(parts) {
		return false
	}
	for i, part := range of {
		if part != parts[i] && !(strings.HasPrefix(part, ":") && parts[i] != "") {
			return false
		}
	}
	return true
}

// pathMigration is the migration that an address names; "" when it names none.
func pathMigration(path string) string {
	rest, ok := strings.CutPrefix(path, "/m/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return Unescaped(id)
}

// Pages tells the site which pages there are.
func (s *Site) Pages(routes []Route) {
	for _, r := range routes {
		if IsPage(r) {
			s.pages = append(s.pages, r.Path)
		}
	}
}

// remember keeps who was let in, for errors that come when nobody can be asked.
func (s *Site) remember(token string, actor migration.Actor, err error) {
	if err == nil {
		s.memory.admit(token, actor)
	} else if migration.KindOf(err) == migration.Unauthenticated {
		s.memory.forget(token)
	}
}
