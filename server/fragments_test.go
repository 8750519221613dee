package server

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/server/servertest"
	"github.com/switchyard-dev/switchyard/server/site"
)

// own are pages that differ by who reads them: they name who does, or who else does. The files
// are those that read the name. Everything else is rendered without one: a page there that asked
// for it would offer somebody what only another may do, until they try.
var own = map[string]string{
	"/m/:mid/breaker":     "outagepages/breaker.templ",
	"/m/:mid/runs/:run":   "migrationpages/run.go",
	"/m/:mid/steps/:step": "", // who else looks
	"/m/:mid/waivers":     "migrationpages/waivers.templ",
}

func TestPagesThatReadANameAreOfOneAccount(t *testing.T) {
	t.Parallel()
	readsName := regexp.MustCompile(`(?i)\bwho\.(Actor\.)?Name\b|IdentityOf\(c\)\.Name`)
	var found []string
	for _, pattern := range []string{"../web/*pages/*.templ", "../web/*pages/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if readsName.Match(text) && !strings.HasSuffix(f, "_templ.go") {
				found = append(found, strings.TrimPrefix(f, "../web/"))
			}
		}
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Values(own)),
		func(file string) bool { return file == "" })
	if slices.Sort(found); !slices.Equal(found, want) {
		t.Errorf("%v read the name of who looks, want %v: share the page by account", found, want)
	}
}

var (
	ofToken  = regexp.MustCompile(`(name="csrf" value=")[^"]*`)
	ofMoment = regexp.MustCompile(`(data-now="|data-tag=")[^"]*|(data-age>)[^<]*`)
	// ofAll is the headline: of the moment, and the same for everybody.
	ofAll   = regexp.MustCompile(`(?s)<section id="headline".*?</section>`)
	figures = regexp.MustCompile(`[0-9]+`) // which move on between two looks; names have none
)

// content is the main part of a page without what differs by reader and moment.
func (r response) content(t *testing.T) string {
	t.Helper()
	from, to := strings.Index(r.text, "<main"), strings.LastIndex(r.text, "</main>")
	if from < 0 || to < from {
		t.Fatalf("%s (%d) is no page", r.path, r.status)
	}
	text := ofAll.ReplaceAllString(r.text[from:to], "")
	text = ofMoment.ReplaceAllString(ofToken.ReplaceAllString(text, "$1"), "$1$2")
	return figures.ReplaceAllString(text, "0")
}

// Every page is looked at by two engineers and a viewer, each of whom may be given what was
// rendered for somebody else.
func TestAPageSharedByARoleShowsTheSameToAllOfIt(t *testing.T) {
	t.Parallel()
	st := serve(t)
	run := st.runAudit(t)
	ada, linus := st.browser(t, "ada", enginePass), st.browser(t, "linus", secondPass)
	grace := st.browser(t, "grace", viewerPass)
	added := &redis.XAddArgs{
		Stream: "bull:order-ingestion:events", Values: []any{"event", "added", "jobId", "evt_1"},
	}
	if err := st.redis.Client().XAdd(t.Context(), added).Err(); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the ledger knows an order", func() bool {
		return ada.get("/m/"+mid+"/ledger/evt_1").status == http.StatusOK
	})
	ada.submit(ada.until("/m/"+mid+"/steps/fix-policy", func(r response) bool {
		return r.there("#start:not([disabled])")
	}), "start", nil)
	var paths, byAccount, notShared []string
	for _, r := range st.routes() {
		isFile := strings.HasSuffix(r.Path, "/export") || strings.Contains(r.Path, "/exports/")
		if r.Method != "GET" || !strings.HasPrefix(r.Path, "/m/") || isFile {
			continue
		}
		path := fill(r.Path, run)
		switch {
		case r.Shared != "" && r.Who != site.Session:
			t.Errorf("%s is shared, and not for every session", r.Path)
		case r.Shared == site.ByRole:
			paths = append(paths, path)
		case r.Shared == site.ByAccount:
			byAccount = append(byAccount, r.Path)
		case ada.get(path).there("#main[hx-get]"):
			notShared = append(notShared, r.Path)
		}
	}
	// A live page that is not shared costs a render for each reader: that is a decision.
	if want := slices.Sorted(maps.Keys(own)); len(notShared) > 0 ||
		!slices.Equal(slices.Sorted(slices.Values(byAccount)), want) {
		t.Errorf("live pages that are not shared: %v; by account: %v, want %v",
			notShared, byAccount, want)
	}
	hx := map[string]string{"HX-Request": "true", "Accept-Encoding": "identity"}
	for _, path := range append(paths, "/m/"+mid+"/steps/fix-policy", "/m/"+mid+"/steps/cutover") {
		// What a page shows may change between two looks; a difference that stays is none of that.
		var first, second response
		servertest.Eventually(t, path+": the main part is the one of the page", func() bool {
			first = ada.send("GET", path, nil, hx)
			return first.status == 200 && first.content(t) == ada.get(path).content(t)
		})
		servertest.Eventually(t, path+": two engineers see the same", func() bool {
			first, second = ada.send("GET", path, nil, hx), linus.send("GET", path, nil, hx)
			return second.content(t) == first.content(t) &&
				second.content(t) == linus.get(path).content(t)
		})
		for b, r := range map[*browser]response{ada: first, linus: second} {
			token := b.get("/m/" + mid).csrf()
			r.find(`input[name="csrf"]`).Each(func(_ int, in *goquery.Selection) {
				if in.AttrOr("value", "") != token {
					t.Errorf("%s: a form with the token of another session", path)
				}
			})
		}
		viewers := grace.send("GET", path, nil, hx)
		if n := viewers.buttons().Length(); viewers.status != 200 || n > 0 ||
			viewers.there(`input[name="csrf"]`) {
			t.Errorf("%s: a viewer was given an engineer's page: %d buttons", path, n)
		}
		servertest.Eventually(t, path+": a viewer's main part is the one of their page", func() bool {
			return grace.send("GET", path, nil, hx).content(t) == grace.get(path).content(t)
		})
	}
}

func TestAPageIsSentAgainOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	st := serve(t)
	b := st.browser(t, "ada", enginePass)
	path := "/m/" + mid + "/setup" // its topic is told of by tests of the set-up alone
	page := b.get(path)
	hx := map[string]string{
		"HX-Request": "true", "X-CSRF-Token": page.find("#main").Find(`[name="csrf"]`).
				First().AttrOr("value", ""),
		"If-None-Match": `W/"` + page.find("#main").AttrOr("data-tag", "none") + `"`,
	}
	if r := b.send("GET", path, nil, hx); r.status != http.StatusNotModified || r.text != "" {
		t.Errorf("nothing changed: %d, %d bytes", r.status, len(r.text))
	}
	// What somebody has just done is on the page that follows, and in the next main part.
	b.submit(page, "test-all", nil)
	servertest.Eventually(t, "another main part", func() bool {
		return b.send("GET", path, nil, hx).status == http.StatusOK
	})
}
