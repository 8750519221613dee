package storybook

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/web/ui"
)

// story is one page with everything on it that a person may see.
type story struct {
	frame ui.Frame
	page  templ.Component
	bare  bool
	live  string // what the page's script has found out; empty: nothing yet
}

var (
	storyTime = time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	engineer  = ui.Who{
		Actor: migration.Actor{Name: "ada", Role: migration.RoleEngineer}, CSRF: "token",
	}
	viewer = ui.Who{
		Actor: migration.Actor{Name: "grace", Role: migration.RoleViewer}, CSRF: "token",
	}
)

// mid is the migration of all stories.
const mid = "order-pipeline"

func frame(title, section, path string, who ui.Who) ui.Frame {
	return ui.Frame{
		Title: title, Section: section, Path: path, Stream: "/events?topic=overview",
		Updates: true, Headline: &migration.Headline{
			Level: migration.Calm, Title: "No incident, and no order is known to be at risk",
			At: storyTime,
		},
		MigrationID: mid, MigrationName: "Order pipeline", Who: who,
		Version: "1.0.0", Now: storyTime,
	}
}

func rawFacts(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stories is every page by name, area by area.
func stories(t *testing.T) map[string]story {
	t.Helper()
	out := map[string]story{}
	for _, area := range []func(*testing.T) map[string]story{
		overviewStories, stepStories, runStories, queueStories, jobStories, ledgerStories,
		flagStories, breakerStories, outageStories, capacityStories, adminStories, setupStories,
		workStories, reportStories,
	} {
		for name, s := range area(t) {
			if _, taken := out[name]; taken {
				t.Fatalf("two stories are called %s", name)
			}
			out[name] = s
		}
	}
	out["gallery"] = galleryStory(t, out)
	return out
}

func (s story) render(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	page := ui.Page(s.frame, s.page)
	if s.bare {
		page = ui.Bare(s.frame, s.page)
	}
	if err := page.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	html := []byte("<html ")
	if s.live != "" {
		return bytes.Replace(b.Bytes(), html, []byte(`<html data-live="`+s.live+`" `), 1)
	}
	return b.Bytes()
}

// TestStorybook writes every page in both themes, with its assets, below
// SWITCHYARD_STORYBOOK (default: a temporary folder), to be served by any static web server
// and looked at.
func TestStorybook(t *testing.T) {
	dir := os.Getenv("SWITCHYARD_STORYBOOK")
	if dir == "" {
		dir = t.TempDir()
	}
	writeStories(t, dir)
}

// writeStories gives the names of the stories that it has written below dir.
func writeStories(t *testing.T, dir string) []string {
	t.Helper()
	write := func(name string, body []byte) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := stories(t)
	for name, s := range all {
		for _, theme := range []string{"light", "dark"} {
			s.frame.Theme = theme
			write(name+"."+theme+".html", s.render(t))
		}
	}
	for _, name := range []string{
		"app.css", "core.js", "charts.js", "icons.svg", "logo.svg", "inter.woff2",
	} {
		u := static.URL(name)
		a, ok := static.Find(strings.TrimPrefix(u, static.Prefix))
		if !ok {
			t.Fatalf("%s is not served", u)
		}
		write(u, a.Body)
	}
	return slices.Sorted(maps.Keys(all))
}

func TestTheFragmentIsTheMainPartOfThePage(t *testing.T) {
	t.Parallel()
	for name, s := range stories(t) {
		if s.bare {
			continue
		}
		var b bytes.Buffer
		if err := ui.Main(s.frame, s.page).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(s.render(t), b.Bytes()) {
			t.Errorf("%s: the fragment differs from the page", name)
		}
	}
}
