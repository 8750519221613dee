package storybook

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// parse renders a story and reads it back.
func (s story) parse(t *testing.T) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(s.render(t)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func page(t *testing.T, name string) *goquery.Document {
	t.Helper()
	s, ok := stories(t)[name]
	if !ok {
		t.Fatalf("no story %s", name)
	}
	return s.parse(t)
}

func has(s *goquery.Selection, attr string) bool { _, ok := s.Attr(attr); return ok }

func text(s *goquery.Selection) string { return strings.TrimSpace(s.Text()) }

func TestPagesAreUsableWithoutScriptStyleOrSight(t *testing.T) {
	t.Parallel()
	for name, s := range stories(t) {
		doc := s.parse(t)
		ids, labelled := map[string]bool{}, map[string]bool{}
		doc.Find("[for]").Each(func(_ int, e *goquery.Selection) {
			labelled[e.AttrOr("for", "")] = true
		})
		doc.Find("[id]").Each(func(_ int, e *goquery.Selection) {
			id := e.AttrOr("id", "")
			if ids[id] {
				t.Errorf("%s: id %s is used twice", name, id)
			}
			ids[id] = true
		})
		doc.Find("*").Each(func(_ int, e *goquery.Selection) {
			for _, a := range e.Nodes[0].Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") ||
					strings.HasPrefix(a.Key, "hx-on") {
					t.Errorf("%s: <%s %s>: the content policy forbids it",
						name, goquery.NodeName(e), a.Key)
				}
			}
		})
		none := func(selector, what string) {
			if html, err := goquery.OuterHtml(doc.Find(selector).First()); err == nil && html != "" {
				t.Errorf("%s: %s: %s", name, what, html)
			}
		}
		none(`script:not([src^="/static/"])`, "an inline script")
		none("style", "an inline style")
		none("img:not([alt])", "an image without alt")
		none(`[href*="about:invalid"]`, "a link was refused")
		doc.Find(`input:not([type="hidden"]), textarea, select, progress`).Each(
			func(_ int, e *goquery.Selection) {
				if id := e.AttrOr("id", ""); !labelled[id] {
					t.Errorf("%s: <%s id=%q> has no label", name, goquery.NodeName(e), id)
				}
			})
		doc.Find("button, a").Not("[aria-label]").Each(func(_ int, e *goquery.Selection) {
			if text(e) == "" {
				t.Errorf("%s: <%s> says nothing", name, goquery.NodeName(e))
			}
		})
		if !s.bare {
			doc.Find(`form[method="post"]`).Each(func(_ int, e *goquery.Selection) {
				if e.Find(`[name="csrf"]`).Length() == 0 {
					t.Errorf("%s: a form without CSRF token", name)
				}
			})
		}
		for _, tag := range []string{"h1", "main", "title"} {
			if n := doc.Find(tag).Length(); n != 1 {
				t.Errorf("%s: %d <%s>, want 1", name, n, tag)
			}
		}
		if lang := doc.Find("html").AttrOr("lang", ""); lang != "en" {
			t.Errorf("%s: language %q", name, lang)
		}
		for _, ref := range []string{"aria-labelledby", "aria-describedby", "for"} {
			doc.Find("[" + ref + "]").Each(func(_ int, e *goquery.Selection) {
				if v := e.AttrOr(ref, ""); !ids[v] {
					t.Errorf("%s: %s=%q names nothing", name, ref, v)
				}
			})
		}
	}
}

func TestWithoutFiguresNoOrderIsSaidToBeLost(t *testing.T) {
	t.Parallel()
	if n := page(t, "overview-empty").Find("#orders-lost"); n.Length() > 0 {
		t.Errorf("without figures the page says %q", text(n))
	}
}

func TestTheAskerOfAnIrreversibleRunCannotApproveItAndHearsWhy(t *testing.T) {
	t.Parallel()
	own := page(t, "run-own-irreversible")
	if own.Find("#approve[disabled]").Length() != 1 || own.Find("#approve-why").Length() != 1 {
		t.Error("approve is offered to who asked")
	}
	other := page(t, "run-irreversible")
	if other.Find("#approve:not([disabled])").Length() != 1 ||
		other.Find("#confirm-name").Length() != 1 {
		t.Error("another engineer must be able to type the name and approve")
	}
	if n := page(t, "run-waiting-viewer").Find("#approve, #reject, #cancel"); n.Length() > 0 {
		t.Errorf("a viewer sees %s", n.AttrOr("id", ""))
	}
}

func TestStartIsDisabledWithTheReason(t *testing.T) {
	t.Parallel()
	blocked := page(t, "cutover")
	if blocked.Find("#start[disabled]").Length() != 1 {
		t.Error("start is offered although a precondition does not hold")
	}
	if !strings.Contains(blocked.Find("#start-why").Text(), "enableOfflineQueue") {
		t.Error("no reason")
	}
	gate := blocked.Find(`[data-gate="criterion:circuit-breaker"]`)
	if has(gate, "data-ok") ||
		!strings.Contains(gate.Text(), "Run the step Circuit-breaker drill") {
		t.Errorf("gate says %q", text(gate))
	}
	if page(t, "step").Find("#start:not([disabled])").Length() != 1 {
		t.Error("start is not offered although nothing is in the way")
	}
}

func TestTextFromOutsideStaysText(t *testing.T) {
	t.Parallel()
	if page(t, "run-running").Find("script:not([src])").Length() > 0 {
		t.Fatal("a log line became a script")
	}
}

func TestCommandsAreTheOnesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^switchyard (` + strings.Join([]string{
		`step start [a-z-]+( --to [a-z]+( --ramp \d+)?( --max-[a-z]+ [0-9a-z]+)*)?`,
		`run (show|approve|pause|resume|cancel|rollback) [0-9a-z]+` +
			`( --action [a-z-]+)?( --confirm-name ('[^']+'|[a-z]+))?`,
		`report`, `ledger`, `capacity`, `notifications`, `outage --for \d+[smh]`,
		`replay PROVIDER --file FILE`, `scan DIR --submit`, `export terraform`,
		`setup test`, `keys list`, `summary`, `alerts`, `people`, `digest`,
		`run list( --[a-z]+ ([0-9A-Za-z-]+|'[^\n]+'))*`,
		`audit-log( --[a-z]+ ([0-9A-Za-z-]+|'[^\n]+'))*`,
		`search ([0-9A-Za-z_-]+|'[^\n]+')`,
	}, "|") + `)$`)
	for name, s := range stories(t) {
		s.parse(t).Find("[data-copy]").Each(func(_ int, e *goquery.Selection) {
			command := e.AttrOr("data-copy", "")
			// Neither a token nor a link is a command.
			if !strings.HasPrefix(command, "swy_") && !strings.HasPrefix(command, "https://") && !pattern.MatchString(command) {
				t.Errorf("%s: %q", name, command)
			}
		})
	}
}
