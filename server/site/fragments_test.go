package site

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

const hour = time.Hour

// desk is a site with one shared page, without a network.
type desk struct {
	*Site
	app     *fiber.App
	renders atomic.Int64
	content func(*fiber.Ctx) (templ.Component, error)
	notice  *ui.Notice
}

func newDesk() *desk { return newDeskBy(ByRole) }

func newDeskBy(by Sharing) *desk {
	d := &desk{Site: New(slog.New(slog.DiscardHandler), "test", false), app: fiber.New(fiber.Config{
		Immutable: true,
	})}
	d.content = func(c *fiber.Ctx) (templ.Component, error) {
		return templ.Join(ui.CSRF(IdentityOf(c).Who()), ui.Empty(strings.Repeat("words ", 300))), nil
	}
	d.app.Get("/page", func(c *fiber.Ctx) error {
		name, role, _ := strings.Cut(c.Get("Who"), "/")
		c.Locals(whoKey, Identity{
			Actor: migration.Actor{Name: name, Role: migration.Role(role)}, Token: name,
		})
		c.Locals(momentKey, d.Live.Moment())
		return c.Next()
	}, d.Share(by, func(c *fiber.Ctx) error {
		d.renders.Add(1)
		content, err := d.content(c)
		if err != nil {
			return err
		}
		at := Place{Title: "Page", Topics: []string{"setup"}, Notice: d.notice}
		return d.Page(c, at, content)
	}))
	return d
}

// ask fetches the page's main part as somebody.
func (d *desk) ask(who string, header ...string) *fasthttp.Response {
	var c fasthttp.RequestCtx
	c.Request.SetRequestURI("/page")
	c.Request.Header.Set("HX-Request", "true")
	c.Request.Header.Set("Who", who)
	for i := 0; i < len(header); i += 2 {
		c.Request.Header.Set(header[i], header[i+1])
	}
	d.app.Handler()(&c)
	var r fasthttp.Response
	c.Response.CopyTo(&r)
	return &r
}

func TestManyReadersOfAPageAreOneRenderPerChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		words := d.content
		d.content = func(c *fiber.Ctx) (templ.Component, error) {
			time.Sleep(10 * time.Millisecond)
			return words(c)
		}
		const readers, changes = 100, 3
		for change := range int64(changes) {
			d.Live.Publish("setup")
			var all sync.WaitGroup
			for i := range readers {
				all.Go(func() {
					name := fmt.Sprintf("reader-%d", i)
					r := d.ask(name+"/viewer", "Accept-Encoding", []string{"gzip", ""}[i%2])
					if body := unpacked(t, r); !strings.Contains(body, `value="`+csrfToken(name)+`"`) ||
						strings.Count(body, `name="csrf"`) != 1 {
						t.Errorf("%s got another token: %s", name, body)
					}
				})
			}
			all.Wait()
			if n := d.renders.Load(); n != change+1 {
				t.Fatalf("%d renders after change %d", n, change+1)
			}
			time.Sleep(600 * time.Millisecond)
		}
		if rendered, shared := d.Fragments(); rendered != changes || shared != changes*(readers-1) {
			t.Errorf("counted: %d rendered, %d shared", rendered, shared)
		}
	})
}

func unpacked(t *testing.T, r *fasthttp.Response) string {
	t.Helper()
	body := r.Body()
	if string(r.Header.Peek("Content-Encoding")) == "gzip" {
		in, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(in)
		}
		if err != nil {
			t.Error(err)
		}
	}
	return string(body)
}

func TestAReaderNeverGetsWhatIsOlderThanTheChangeTheyWereToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		state := "before"
		d.content = func(*fiber.Ctx) (templ.Component, error) {
			read := state
			time.Sleep(hour) // longer than any age: what counts is when reading began
			return ui.Empty(read), nil
		}
		var both sync.WaitGroup
		both.Go(func() {
			if body := string(d.ask("ada/engineer").Body()); !strings.Contains(body, "before") {
				t.Error(body)
			}
		})
		synctest.Wait()
		state = "after"
		d.Live.Publish("setup")
		both.Go(func() {
			if body := string(d.ask("linus/engineer").Body()); !strings.Contains(body, "after") {
				t.Error("given a render that began before the change: " + body)
			}
		})
		both.Wait()
	})
}

func TestARenderIsSharedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		for _, want := range []int64{1, 1, 2} {
			d.ask("ada/engineer")
			if n := d.renders.Load(); n != want {
				t.Errorf("%d renders, want %d", n, want)
			}
			time.Sleep(maxAge / 2)
		}
	})
}

func TestWhatIsForOnePersonIsNotShared(t *testing.T) {
	t.Parallel()
	failure := errors.New("broken")
	for name, c := range map[string]struct {
		change func(*desk)
		header []string // of the second request
		status int
		want   int64 // renders by two requests
	}{
		"the same role": {nil, nil, 200, 1},
		"another role":  {nil, []string{"Who", "grace/viewer"}, 200, 2},
		"another preference": {
			nil, []string{"Cookie", "switchyard_zone=local"}, 200, 2,
		},
		"another session": {nil, []string{"Cookie", "switchyard_session=other"}, 200, 1},
		"the whole page":  {nil, []string{"HX-Request", ""}, 200, 2},
		"another name of this server": {
			nil, []string{"Host", "elsewhere"}, 200, 2,
		},
		"a request with a body": {nil, []string{"X-Body", "set=1"}, 200, 2},
		"an error": {func(d *desk) {
			d.content = func(*fiber.Ctx) (templ.Component, error) { return nil, failure }
		}, nil, 500, 2},
		// Once to see that it cannot be shared, and once for the reader.
		"a notice": {func(d *desk) { d.notice = &ui.Notice{Title: "No"} }, nil, 200, 4},
		"a refusal": {func(d *desk) {
			words := d.content
			d.content = func(c *fiber.Ctx) (templ.Component, error) {
				c.Status(404)
				return words(c)
			}
		}, nil, 404, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk()
			if c.change != nil {
				c.change(d)
			}
			d.ask("ada/engineer")
			header := c.header
			if len(header) == 2 && header[0] == "X-Body" {
				d.askWithBody("linus/engineer", header[1])
			} else if r := d.ask("linus/engineer", header...); r.StatusCode() != c.status {
				t.Errorf("%s: %d", name, r.StatusCode())
			}
			if n := d.renders.Load(); n != c.want {
				t.Errorf("%s: %d renders, want %d", name, n, c.want)
			}
		})
	}
}

func (d *desk) askWithBody(who, body string) {
	var c fasthttp.RequestCtx
	c.Request.SetRequestURI("/page")
	c.Request.Header.Set("HX-Request", "true")
	c.Request.Header.Set("Who", who)
	c.Request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.Request.SetBodyString(body)
	d.app.Handler()(&c)
}

// A handler that would write a name into a shared page finds none.
func TestASharedRenderKnowsNobody(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.content = func(c *fiber.Ctx) (templ.Component, error) {
		id := IdentityOf(c)
		if id.Token != "" || id.Cookie || Actor(c) != (migration.Actor{Role: "engineer"}) {
			t.Errorf("%+v", id)
		}
		return ui.Empty("name: " + id.Who().Name), nil
	}
	if body := string(d.ask("ada/engineer").Body()); strings.Contains(body, "ada") {
		t.Error(body)
	}
}

func TestAPageOfAnAccountIsSharedByItsSessionsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeskBy(ByAccount)
		d.content = func(c *fiber.Ctx) (templ.Component, error) {
			return ui.Empty("name: " + IdentityOf(c).Who().Name), nil
		}
		for i, who := range []string{"ada", "linus", "ada"} {
			body := string(d.ask(who + "/engineer").Body())
			if want := []int64{1, 2, 2}[i]; !strings.Contains(body, "name: "+who) ||
				d.renders.Load() != want {
				t.Errorf("%s after %d renders: %s", who, d.renders.Load(), body)
			}
		}
	})
}

// Who is known from before only, since nobody can be asked now, gets forms that work.
func TestTheFormsAroundAnErrorAreOfTheSessionThatAsked(t *testing.T) {
	t.Parallel()
	s := New(slog.New(slog.DiscardHandler), "test", false)
	s.remember("session", migration.Actor{Name: "ada", Role: migration.RoleEngineer}, nil)
	app := fiber.New(fiber.Config{Immutable: true})
	app.Get("/", func(c *fiber.Ctx) error {
		return s.Fail(c, migration.Errorf(migration.Unavailable, "the database does not answer"))
	})
	var c fasthttp.RequestCtx
	c.Request.Header.SetCookie(s.cookieName(), "session")
	app.Handler()(&c)
	if body := string(c.Response.Body()); !strings.Contains(body, "ada") ||
		!strings.Contains(body, `name="csrf" value="`+csrfToken("session")+`"`) {
		t.Errorf("%d %s", c.Response.StatusCode(), body)
	}
}

func TestAPanicWhileRenderingLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	d := newDesk()
	words := d.content
	d.content = func(*fiber.Ctx) (templ.Component, error) { panic("canary") }
	func() {
		defer func() { _ = recover() }()
		d.ask("ada/engineer")
	}()
	d.content = words
	if r := d.ask("linus/engineer"); r.StatusCode() != 200 {
		t.Errorf("%d", r.StatusCode())
	}
}

func TestAPageThatShowsTheSameIsNotSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk()
	seen := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	now := seen
	text := "one"
	d.content = func(c *fiber.Ctx) (templ.Component, error) {
		return templ.Join(ui.CSRF(IdentityOf(c).Who()), ui.Ago(now, seen), ui.Empty(text)), nil
	}
	first := d.ask("ada/engineer")
	tag := string(first.Header.Peek("ETag"))
	shown := strings.TrimSuffix(strings.TrimPrefix(tag, `W/"`), `"`)
	if first.StatusCode() != 200 || !strings.Contains(string(first.Body()), `data-tag="`+shown+`"`) {
		t.Fatalf("%d, tag %s: %s", first.StatusCode(), tag, first.Body())
	}
	for name, c := range map[string]struct {
		change func()
		header []string
		want   int
	}{
		"the same": {nil, nil, 304},
		// The page's script keeps ages true.
		"only older":                       {func() { now = now.Add(hour) }, nil, 304},
		"another text":                     {func() { text = "two" }, nil, 200},
		"a page of which nothing is known": {nil, []string{"If-None-Match", ""}, 200},
		"forms of another session":         {nil, []string{"X-CSRF-Token", csrfToken("linus")}, 200},
		"the whole page":                   {nil, []string{"HX-Request", ""}, 200},
	} {
		text = "one"
		if c.change != nil {
			c.change()
		}
		d.Live.Publish("setup")
		d.fragments = newFragments(d.Live)
		header := append([]string{"If-None-Match", tag, "X-CSRF-Token", csrfToken("ada")}, c.header...)
		r := d.ask("ada/engineer", header...)
		if r.StatusCode() != c.want || c.want == 304 && len(r.Body()) > 0 {
			t.Errorf("%s: %d with %d bytes", name, r.StatusCode(), len(r.Body()))
		}
	}
	// What the first look at the whole page showed need not be fetched a second time.
	text = "one"
	whole := d.ask("ada/engineer", "HX-Request", "")
	if !strings.Contains(string(whole.Body()), `data-tag="`+shown+`"`) {
		t.Error("the page has another tag than its main part")
	}
}

func TestATokenIsInTheAnswerAndNeverCompressed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("the same words again and again, ", 5000) // more than the window
	for name, text := range map[string]string{
		"no hole":        long,
		"one hole":       long + tokenHole + long,
		"at both ends":   tokenHole + long + tokenHole,
		"many":           strings.Repeat(`<input name="csrf" value="`+tokenHole+`"/> text `, 500),
		"next to itself": long + tokenHole + tokenHole + tokenHole,
		// What looks like the filler must not be led to the token.
		"zero bytes": strings.Repeat("\x00", 1000) + tokenHole + strings.Repeat("\x00", 1000),
	} {
		doc, err := render(t.Context(), templ.ComponentFunc(
			func(_ context.Context, w io.Writer) error {
				_, err := io.WriteString(w, text)
				return err
			}))
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"ada", "linus"} {
			token := csrfToken(who)
			packed := doc.gzip(token)
			in, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := io.ReadAll(in)
			want := strings.ReplaceAll(
				strings.ReplaceAll(text, "\x00", "\uFFFD"), tokenHole, token)
			if err != nil || string(got) != want {
				t.Errorf("%s: %v, %d bytes of %d", name, err, len(got), len(want))
			}
			holes := strings.Count(text, tokenHole)
			if bytes.Count(packed, []byte(token)) != holes {
				t.Errorf("%s: a token went through the compressor", name)
			}
			if len(packed) > 2500+100*holes {
				t.Errorf("%s: %d bytes", name, len(packed))
			}
		}
	}
}

func TestAnswersAreCompressedWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	d := newDesk()
	for accept, want := range map[string]string{
		"gzip, deflate, br": "gzip", "br": "", "": "", "gzip;q=0": "",
	} {
		r := d.ask("ada/engineer", "Accept-Encoding", accept)
		got, vary := string(r.Header.Peek("Content-Encoding")), string(r.Header.Peek("Vary"))
		if got != want || !strings.Contains(vary, "Accept-Encoding") {
			t.Errorf("%q: %q, Vary %q", accept, got, vary)
		}
	}
	d.content = func(*fiber.Ctx) (templ.Component, error) { return ui.Empty("little"), nil }
	d.Live.Publish("setup")
	r := d.ask("ada/engineer", "Accept-Encoding", "gzip")
	if got := string(r.Header.Peek("Content-Encoding")); got != "" {
		t.Errorf("%d bytes by %s", len(r.Body()), got)
	}
}
