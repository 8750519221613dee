package site

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/migration"
)

// TestAnErrorIsShownAlsoWhenItsPageCannotBeRendered has the frame of an error panic: this site
// says that it has a Control, and has none.
func TestAnErrorIsShownAlsoWhenItsPageCannotBeRendered(t *testing.T) {
	t.Parallel()
	s := New(slog.New(slog.DiscardHandler), "test", false)
	s.controlled.Store(true)
	app := fiber.New(fiber.Config{ErrorHandler: s.Fail})
	refuse := func(*fiber.Ctx) error {
		return migration.Errorf(migration.NotFound, "there is no step <nowhere>")
	}
	app.Get("/steps/:id", refuse)
	app.Post("/steps/:id", refuse)
	for name, c := range map[string]struct {
		method, script string
		want           []string
		mark           string
	}{
		"a person sees what happened, what was changed and where to go": {
			method: fiber.MethodGet, want: []string{
				"there is no step &lt;nowhere&gt;", "Nothing was changed: this request only",
				`href="/"`, `data-status="404"`, "app.", "Request <code>",
			},
		},
		"who sent a form hears that it was refused": {
			method: fiber.MethodPost, want: []string{"Nothing was changed: the request was refused"},
		},
		"a message over the page needs no frame": {
			method: fiber.MethodGet, script: "true", mark: fragmentToast,
			want: []string{"there is no step &lt;nowhere&gt;"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r fasthttp.RequestCtx
			r.Request.Header.SetMethod(c.method)
			r.Request.SetRequestURI("/steps/nowhere")
			r.Request.Header.SetCookie(s.cookieName(), "a session")
			r.Request.Header.Set("HX-Request", c.script)
			app.Handler()(&r)
			body := string(r.Response.Body())
			status, mark := r.Response.StatusCode(), r.Response.Header.Peek(FragmentHeader)
			if status != 404 || string(mark) != c.mark {
				t.Errorf("%d, marked %q: %s", status, mark, body)
			}
			for _, want := range c.want {
				if !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
					t.Errorf("no %q in %s", want, body)
				}
			}
		})
	}
}
