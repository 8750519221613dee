package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/workflows"
)

var (
	allLooks = flag.Bool("all", false,
		"look at every page at every width and theme, not at one combination each")
	writeStories = flag.Bool("write-stories", false,
		"write down what the pages tell a screen reader, to be read, instead of comparing")
)

// TestEveryPageLooksRight looks at each page of the storybook in a browser. See e2e/looks.mjs
// for what must hold.
func TestEveryPageLooksRight(t *testing.T) {
	t.Parallel()
	url, names := serveStories(t)
	args := []string{url}
	if *allLooks {
		args = append(args, "all")
	}
	onStories(t, "looks.mjs", names, args...)
}

// TestPagesReadAsAStory holds what overview, step and run tell somebody who hears them against
// what was read and found to be clear. See e2e/story.mjs.
func TestPagesReadAsAStory(t *testing.T) {
	t.Parallel()
	url, _ := serveStories(t)
	args := []string{url, filepath.Join("e2e", "testdata", "story")}
	if *writeStories {
		args = append(args, "write")
	}
	told := []string{"overview", "overview-incident", "step", "run-waiting", "run-running",
		"run-done"}
	onStories(t, "story.mjs", told, args...)
}

// onStories runs a script of the browser over stories.
func onStories(t *testing.T, script string, names []string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	args = append([]string{filepath.Join("e2e", script)}, args...)
	node := exec.CommandContext(ctx, "node", args...)
	node.Stdin = strings.NewReader(strings.Join(names, "\n"))
	// The browser ends when its pipe to node does.
	node.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	node.Cancel = func() error { return syscall.Kill(-node.Process.Pid, syscall.SIGKILL) }
	out, err := node.CombinedOutput()
	t.Logf("%s:\n%s", script, out)
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
}

// serveStories renders the storybook and serves it as the server serves pages: under its content
// policy, with its assets and a stream on which nothing happens. It gives the names of the stories.
func serveStories(t *testing.T) (url string, names []string) {
	t.Helper()
	dir := t.TempDir()
	render := exec.CommandContext(t.Context(), "go", "test", "./web/storybook", "-count=1",
		"-run", "^TestStorybook$")
	render.Env = append(os.Environ(), "CGO_ENABLED=0", "SWITCHYARD_STORYBOOK="+dir)
	if out, err := render.CombinedOutput(); err != nil {
		t.Fatalf("the storybook: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.light.html"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no story in the storybook: %v", err)
	}
	for _, p := range pages {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".light.html"))
	}
	slices.Sort(names)

	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc(static.Prefix, serveAsset)
	mux.HandleFunc("/events", serveBeat)
	mux.HandleFunc("GET /api/v1/migrations/{mid}/series", serveSeries)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", site.ContentPolicy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // streams have no end of their own
		server.Close()
	})
	return server.URL, names
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	asset, ok := static.Find(strings.TrimPrefix(r.URL.Path, static.Prefix))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", asset.Type)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(asset.Body)
}

// serveSeries gives charts an hour of values, so that they are drawn.
func serveSeries(w http.ResponseWriter, r *http.Request) {
	const points = 60
	until := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC) // when all stories are told
	view := workflows.SeriesView{
		Since: until.Add(-points * time.Minute), Until: until, StepMS: time.Minute.Milliseconds(),
		Marks: []workflows.SeriesMark{},
	}
	for name := range strings.SplitSeq(r.FormValue("name"), ",") {
		s := workflows.Series{Name: name}
		for n := range points {
			v := float64(n % 7)
			s.Steps = append(s.Steps, n)
			s.Mean, s.Min, s.Max = append(s.Mean, v), append(s.Min, v), append(s.Max, v+1)
		}
		view.Series = append(view.Series, s)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(view)
}

// serveBeat is a stream that says once that it is there, and stays open.
func serveBeat(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = w.Write([]byte("event: beat\ndata: 1\n\n"))
	if err := http.NewResponseController(w).Flush(); err == nil {
		<-r.Context().Done()
	}
}
