package web

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/switchyard-dev/switchyard/migration"
)

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func elements(t *testing.T, page []byte) []*html.Node {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var out []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			out = append(out, n)
		}
	}
	return out
}

func with(nodes []*html.Node, name, value string) *html.Node {
	for _, n := range nodes {
		if v, ok := attr(n, name); ok && v == value {
			return n
		}
	}
	return nil
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestPagesAreUsableWithoutScriptStyleOrSight(t *testing.T) {
	t.Parallel()
	for name, s := range stories(t) {
		nodes := elements(t, s.render(t))
		ids, count, labelled := map[string]bool{}, map[string]int{}, map[string]bool{}
		for _, n := range nodes {
			if v, ok := attr(n, "for"); ok {
				labelled[v] = true
			}
		}
		for _, n := range nodes {
			count[n.Data]++
			id, _ := attr(n, "id")
			if id != "" && ids[id] {
				t.Errorf("%s: id %s is used twice", name, id)
			}
			ids[id] = true
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") {
					t.Errorf("%s: <%s %s>: the content policy forbids it", name, n.Data, a.Key)
				}
				if a.Key == "href" && strings.Contains(a.Val, "about:invalid") {
					t.Errorf("%s: a link was refused", name)
				}
			}
			src, hasSrc := attr(n, "src")
			kind, _ := attr(n, "type")
			method, _ := attr(n, "method")
			hidden := kind == "hidden"
			switch {
			case n.Data == "script" && (!hasSrc || !strings.HasPrefix(src, "/static/")), n.Data == "style":
				t.Errorf("%s: inline <%s>", name, n.Data)
			case n.Data == "img":
				if _, ok := attr(n, "alt"); !ok {
					t.Errorf("%s: image without alt", name)
				}
			case (n.Data == "input" || n.Data == "textarea" || n.Data == "select" || n.Data == "progress") && !hidden && !labelled[id]:
				t.Errorf("%s: <%s id=%q> has no label", name, n.Data, id)
			case (n.Data == "button" || n.Data == "a") && text(n) == "":
				if _, ok := attr(n, "aria-label"); !ok {
					t.Errorf("%s: <%s> says nothing", name, n.Data)
				}
			case n.Data == "form" && method == "post" && !s.bare:
				if !strings.Contains(render(t, n), `name="csrf"`) {
					t.Errorf("%s: a form without CSRF token", name)
				}
			}
		}
		for tag, want := range map[string]int{"h1": 1, "main": 1, "title": 1} {
			if count[tag] != want {
				t.Errorf("%s: %d <%s>, want %d", name, count[tag], tag, want)
			}
		}
		if lang, _ := attr(nodes[0], "lang"); lang != "en" {
			t.Errorf("%s: language %q", name, lang)
		}
		for _, n := range nodes {
			for _, ref := range []string{"aria-labelledby", "aria-describedby", "for"} {
				if v, ok := attr(n, ref); ok && !ids[v] {
					t.Errorf("%s: %s=%q names nothing", name, ref, v)
				}
			}
		}
	}
}

func render(t *testing.T, n *html.Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Render(&b, n); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOnlyMetLooksMet(t *testing.T) {
	t.Parallel()
	for _, v := range []migration.Verdict{migration.Met, migration.Unmet, migration.Stale, migration.Unknown, "", "surprise"} {
		s := verdictStatus(v)
		if (s.tone == "ok") != (v == migration.Met) || (s.icon == "circle-check") != (v == migration.Met) || s.word == "" {
			t.Errorf("%q looks like %+v", v, s)
		}
	}
	for _, s := range []migration.RunState{migration.RunFailed, migration.RunRejected, migration.RunCancelled, migration.RunUndoing, "surprise"} {
		if runStatus(migration.Run{State: s}).tone == "ok" {
			t.Errorf("a run that is %s looks done", s)
		}
	}
	if runStatus(migration.Run{State: migration.RunSucceeded, RolledBackBy: "x"}).tone == "ok" {
		t.Error("a run that was rolled back looks done")
	}
	nodes := elements(t, stories(t)["overview-empty"].render(t))
	if n := with(nodes, "id", "orders-lost"); n != nil {
		t.Errorf("without figures the page says %q", text(n))
	}
}

func TestTheAskerOfAnIrreversibleRunCannotApproveItAndHearsWhy(t *testing.T) {
	t.Parallel()
	nodes := elements(t, stories(t)["run-own-irreversible"].render(t))
	approve := with(nodes, "id", "approve")
	if _, disabled := attr(approve, "disabled"); !disabled || with(nodes, "id", "approve-why") == nil {
		t.Error("approve is offered to who asked")
	}
	nodes = elements(t, stories(t)["run-irreversible"].render(t))
	if _, disabled := attr(with(nodes, "id", "approve"), "disabled"); disabled || with(nodes, "id", "confirm-name") == nil {
		t.Error("another engineer must be able to type the name and approve")
	}
	nodes = elements(t, stories(t)["run-waiting-viewer"].render(t))
	for _, id := range []string{"approve", "reject", "cancel"} {
		if with(nodes, "id", id) != nil {
			t.Errorf("a viewer sees %s", id)
		}
	}
}

func TestStartIsDisabledWithTheReason(t *testing.T) {
	t.Parallel()
	nodes := elements(t, stories(t)["cutover"].render(t))
	if _, disabled := attr(with(nodes, "id", "start"), "disabled"); !disabled {
		t.Error("start is offered although a precondition does not hold")
	}
	if why := with(nodes, "id", "start-why"); why == nil || !strings.Contains(text(why), "enableOfflineQueue") {
		t.Error("no reason")
	}
	gate := with(nodes, "data-gate", "criterion:circuit-breaker")
	if _, ok := attr(gate, "data-ok"); ok || !strings.Contains(text(gate), "run the step Circuit-breaker drill") {
		t.Errorf("gate says %q", text(gate))
	}
	nodes = elements(t, stories(t)["step"].render(t))
	if _, disabled := attr(with(nodes, "id", "start"), "disabled"); disabled {
		t.Error("start is not offered although nothing is in the way")
	}
}

func TestTextFromOutsideStaysText(t *testing.T) {
	t.Parallel()
	for _, n := range elements(t, stories(t)["run-running"].render(t)) {
		if src, _ := attr(n, "src"); n.Data == "script" && src == "" {
			t.Fatal("a log line became a script")
		}
	}
}

func TestTheFragmentIsTheMainPartOfThePage(t *testing.T) {
	t.Parallel()
	for name, s := range stories(t) {
		if s.bare {
			continue
		}
		var b bytes.Buffer
		if err := Main(s.frame, s.page).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(s.render(t), b.Bytes()) {
			t.Errorf("%s: the fragment differs from the page", name)
		}
	}
}

func TestNumbersAndTimesReadTheSameEverywhere(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 4035: "4\u202f035", -1234567: "-1\u202f234\u202f567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	now := storyTime
	for ago, want := range map[time.Duration]string{
		0: "just now", 9 * time.Second: "just now", 59 * time.Second: "59 s ago", 119 * time.Second: "1 min ago", 25 * time.Hour: "1 d ago", -time.Hour: "in the future",
	} {
		if got := age(now, now.Add(-ago)); got != want {
			t.Errorf("age of %s = %q, want %q", ago, got, want)
		}
	}
	for days, want := range map[int]string{0: "today", 1: "tomorrow", -1: "yesterday", 5: "in 5 days", -5: "5 days ago"} {
		if got := countdown(now, now.AddDate(0, 0, days)); got != want {
			t.Errorf("countdown of %d days = %q, want %q", days, got, want)
		}
	}
}

func TestCommandsAreTheOnesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^switchyard (step start [a-z-]+( --to [a-z]+( --ramp \d+)?)?|run (show|approve|pause|resume|cancel|rollback) [0-9a-z]+( --action [a-z-]+)?( --confirm-name ('[^']+'|[a-z]+))?|report|ledger|capacity|notifications|outage --for \d+[smh]|replay PROVIDER --file FILE|scan DIR --submit|export terraform)$`)
	for name, s := range stories(t) {
		for _, n := range elements(t, s.render(t)) {
			if command, ok := attr(n, "data-copy"); ok && !strings.HasPrefix(command, "swy_") && !pattern.MatchString(command) { // a token is no command
				t.Errorf("%s: %q", name, command)
			}
		}
	}
}
