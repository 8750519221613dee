package storybook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// component is a part that pages are made of, by itself.
type component struct {
	name, title string
	parts       []templ.Component // one below the other
	story, pick string            // or: the first such element of a story
}

// galleryStory is every component on one page. Pictures of them are compared by e2e/gallery.mjs.
func galleryStory(t *testing.T, all map[string]story) story {
	t.Helper()
	var b strings.Builder
	for n, c := range components() {
		body := c.html(t, all)
		title := html.EscapeString(c.title)
		heading := "<h2>" + title + "</h2>"
		if n == 0 { // the failure has the heading of the page
			heading = `<p class="crumb">Components. ` + title + `</p>`
		}
		fmt.Fprintf(&b, `<section aria-label="%s">%s<div data-component="%s">%s</div></section>`,
			title, heading, c.name, ownIDs(c.name, body))
	}
	f := frame("Components", "gallery", "/gallery", engineer)
	f.MigrationID, f.Stream, f.Updates, f.Headline = "", "", false, nil
	return story{frame: f, page: templ.Raw(b.String())}
}

func (c component) html(t *testing.T, all map[string]story) string {
	t.Helper()
	if c.story != "" {
		s, ok := all[c.story]
		if !ok {
			t.Fatalf("component %s: there is no story %s", c.name, c.story)
		}
		doc, err := goquery.NewDocumentFromReader(bytes.NewReader(s.render(t)))
		if err != nil {
			t.Fatal(err)
		}
		out, err := goquery.OuterHtml(doc.Find(c.pick).First())
		if err != nil || out == "" {
			t.Fatalf("component %s: %s of story %s: %v", c.name, c.pick, c.story, err)
		}
		return out
	}
	var b bytes.Buffer
	for _, p := range c.parts {
		b.WriteString("<div>")
		if err := p.Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		b.WriteString("</div>")
	}
	return `<div class="stack">` + b.String() + `</div>`
}

var idAttributes = regexp.MustCompile(
	`( (?:id|for|aria-labelledby|aria-describedby|aria-controls|list)="|href="#)([^"]+)"`)

// ownIDs keeps the ids of components apart that are on a page of their own otherwise. The list of
// the search keeps its own: its style goes by it.
func ownIDs(name, body string) string {
	body = idAttributes.ReplaceAllString(body, `${1}`+name+`-${2}"`)
	return strings.ReplaceAll(body, `"`+name+`-palette-list"`, `"palette-list"`)
}

func inRow(parts ...templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		if _, err := io.WriteString(w, `<div class="buttons">`); err != nil {
			return err
		}
		for _, p := range parts {
			if err := p.Render(ctx, w); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, `</div>`)
		return err
	})
}

func statuses() templ.Component {
	var all []templ.Component
	for _, s := range []ui.Status{
		ui.OK("Done"), ui.Running("In progress"), ui.Waiting("Waiting for approval"),
		ui.Waiting("Paused").As("circle-pause"), ui.Ready("Ready"), ui.Warn("Attention"),
		ui.Bad("Failed"), ui.Bad("Blocking").As("ban"), ui.Stale("Stale"), ui.Past("History"),
		ui.Idle("Not started"), ui.Unknown("Unknown"),
	} {
		all = append(all, ui.Chip(s))
	}
	return inRow(all...)
}

func headlineOf(level migration.HeadlineLevel) templ.Component {
	f := frame("", "", "", engineer)
	loss, since := storyTime.Add(47*time.Minute), storyTime.Add(-time.Hour)
	switch level {
	case migration.Attention:
		f.Headline = &migration.Headline{Level: level, At: storyTime, Since: &since, More: 2,
			Title: "Memory of the source is near the limit", First: "Open cost and capacity."}
	case migration.Incident:
		f.Headline = &migration.Headline{Level: level, At: storyTime, Since: &since,
			FirstLoss: &loss, Title: "Shopify orders are rejected",
			First: "Start the ingestion app again."}
	case migration.Calm:
	}
	return ui.HeadlineBar(f)
}

var (
	heldGate = migration.Gate{ID: "calm", Title: "No incident", OK: true, Measured: "calm"}
	openGate = migration.Gate{ID: "ledger", Title: "No order is lost", Measured: "1 lost",
		Limit: "0 lost", Next: "look into the order ledger"}
)

const rawButtons = `<div class="buttons"><button class="primary">Approve and run</button>` +
	`<button>Reject</button><button class="primary danger">Delete the servers</button>` +
	`<button class="quiet">Sign out</button><button disabled>Not available</button>` +
	`<a class="button" href="#">Open run</a></div>`

const rawFields = `<form class="card" method="get" action=""><label for="a">Name</label><input id="a" value="ada"/>` +
	`<label for="b">Comment <span class="meta">(saved in the audit log)</span></label>` +
	`<textarea id="b" rows="2">The numbers look right</textarea>` +
	`<label for="c">Role</label><select id="c"><option>Engineer</option></select>` +
	`<button>Save</button></form>`

// components are those that there are; each has a picture in each theme.
func components() []component {
	facts := []migration.Fact{{Label: "Cutover stage", Value: "live at 25 %"},
		{Label: "Source", Value: "Sentinel"}}
	failure := ui.Failure{Status: 503, Title: "This page could not be shown",
		Text: "the database does not answer within 3 s", Changed: "Nothing was changed.",
		Links:     []ui.Link{{Label: "Retry", URL: "#"}, {Label: "Overview", URL: "#"}},
		RequestID: "1"} // it does not heal: the gallery would be left for the page that can be shown
	return []component{
		{name: "failure", title: "Failure",
			parts: []templ.Component{ui.FailurePage(failure)}},
		{name: "buttons", title: "Buttons", parts: []templ.Component{templ.Raw(rawButtons)}},
		{name: "statuses", title: "Statuses", parts: []templ.Component{statuses()}},
		{name: "headline-calm", title: "Headline: calm",
			parts: []templ.Component{headlineOf(migration.Calm)}},
		{name: "headline-attention", title: "Headline: attention",
			parts: []templ.Component{headlineOf(migration.Attention)}},
		{name: "headline-incident", title: "Headline: incident",
			parts: []templ.Component{headlineOf(migration.Incident)}},
		{name: "verdict-blocked", title: "Verdict on preconditions: blocked",
			parts: []templ.Component{ui.Verdict(mid, []migration.Gate{heldGate, openGate})}},
		{name: "verdict-holds", title: "Verdict on preconditions: all hold",
			parts: []templ.Component{ui.Verdict(mid, []migration.Gate{heldGate, heldGate})}},
		{name: "gates", title: "Preconditions",
			parts: []templ.Component{ui.Gates([]migration.Gate{openGate, heldGate})}},
		{name: "result", title: "Result of a run", story: "run-result-cutover", pick: "#result"},
		{name: "notice", title: "Notice", parts: []templ.Component{ui.NoticeBox(ui.Notice{
			Title: "Not started", Text: "another run is open"})}},
		{name: "toast", title: "Message", parts: []templ.Component{ui.Toast(failure)}},
		{name: "banner", title: "Banner", story: "overview-alert", pick: "#alerts"},
		{name: "callouts", title: "Why something is not possible or not known",
			parts: []templ.Component{ui.NoButtons(), ui.HeldWhy(), ui.NotSent(), ui.DraftKept(),
				ui.Unread("Cannot be read: ", "Redis does not answer within 2 s"),
				ui.Unread("", migration.NotProvisioned)}},
		{name: "signed-out", title: "Signed out", parts: []templ.Component{ui.SignedOut("/")}},
		{name: "facts", title: "Facts", parts: []templ.Component{ui.FactList(facts)}},
		{name: "figures", title: "Figures", story: "overview", pick: "#orders"},
		{name: "fields", title: "Form", parts: []templ.Component{templ.Raw(rawFields)}},
		{name: "table", title: "Table", story: "runs", pick: "main .scroll"},
		{name: "board", title: "Both sides in a table", story: "queues", pick: "main .scroll"},
		{name: "criterion", title: "Criterion", story: "overview", pick: ".criteria"},
		{name: "chart", title: "Chart", story: "queues", pick: "#chart-depth"},
		{name: "ranges", title: "Time shown in charts", story: "queues", pick: ".ranges"},
		{name: "stages", title: "Stages", story: "cutover", pick: ".stepper"},
		{name: "share", title: "Share, requested and measured",
			parts: []templ.Component{ui.Ramp(25,
				&migration.Share{Target: 253, Orders: 1024})}},
		{name: "minutes", title: "Minutes of the ledger", story: "ledger", pick: ".lane .strip"},
		{name: "failover", title: "Failover", story: "run-failover", pick: ".failover"},
		{name: "empty", title: "Empty", parts: []templ.Component{
			ui.Empty("No runs yet."),
			ui.EmptyWith("No server has been read yet.", "Test the set-up", "#", "")}},
		{name: "options", title: "Search results", parts: []templ.Component{ui.Options(
			[]ui.OptionGroup{{ID: "pages", Title: "Pages", Options: []ui.Option{
				{ID: "one", URL: "#", Icon: "layers", Title: "Queues"},
				{ID: "two", URL: "#", Icon: "flag", Title: "Flags", Detail: "18 flags"}}}}, "")}},
	}
}

func TestEveryComponentIsOnceInTheGallery(t *testing.T) {
	t.Parallel()
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(stories(t)["gallery"].render(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range components() {
		if n := doc.Find(`[data-component="` + c.name + `"]`).Length(); n != 1 {
			t.Errorf("component %s is there %d times", c.name, n)
		}
	}
	seen := map[string]bool{}
	doc.Find("[id]").Each(func(_ int, s *goquery.Selection) {
		if id := s.AttrOr("id", ""); seen[id] {
			t.Errorf("two elements have the id %s", id)
		} else {
			seen[id] = true
		}
	})
}

// TestServeGallery shows the gallery and all stories on loopback until it is interrupted, with
// the assets and the content policy that the program has. See make gallery.
func TestServeGallery(t *testing.T) {
	addr := os.Getenv("SWITCHYARD_GALLERY")
	if addr == "" {
		t.Skip("SWITCHYARD_GALLERY, the address to serve on, is not set")
	}
	dir := t.TempDir()
	names := writeStories(t, dir)
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: galleryHandler(dir, names)}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	fmt.Printf("http://%s/ has the components, http://%s/stories every page (Ctrl-C ends)\n",
		ln.Addr(), ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
}

func galleryHandler(dir string, names []string) http.Handler {
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", site.ContentPolicy)
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case r.URL.Path == "/":
			http.ServeFile(w, r, filepath.Join(dir, "gallery.light.html"))
		case r.URL.Path == "/stories":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			var b strings.Builder
			b.WriteString(`<!DOCTYPE html><html lang="en"><title>Stories</title><ul>`)
			for _, n := range names {
				fmt.Fprintf(&b, `<li>%s: <a href="/%s.light.html">light</a> `+
					`<a href="/%s.dark.html">dark</a></li>`, html.EscapeString(n), n, n)
			}
			_, _ = w.Write([]byte(b.String() + "</ul></html>"))
		default:
			files.ServeHTTP(w, r)
		}
	})
}

func TestTheGalleryIsServedWithTheContentPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := galleryHandler(dir, writeStories(t, dir))
	for _, path := range []string{"/", "/stories", "/overview.dark.html"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: status %d, policy %q", path, w.Code,
				w.Header().Get("Content-Security-Policy"))
		}
	}
}
