package adminpages

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Search is the page of what was found.
type Search struct {
	MigrationID string
	Query       string
	Result      workflows.SearchAnswer
	Refused     bool // the text was not searched for: the notice says why
}

// suggestedPages is how many pages and runbooks are listed of each.
const suggestedPages = 8

var foundTitles = map[string]string{
	workflows.FoundRun: "Runs", workflows.FoundOrder: "Orders", workflows.FoundJob: "Jobs",
	workflows.FoundStep: "Steps", workflows.FoundQueue: "Queues", workflows.FoundFlag: "Flags",
	workflows.FoundSet: "Flag sets", workflows.FoundAlert: "Open alerts",
	workflows.FoundKey: "API keys", workflows.FoundPerson: "People in the audit log",
}

var foundIcons = map[string]string{
	workflows.FoundRun: "history", workflows.FoundOrder: "list-checks", workflows.FoundJob: "layers",
	workflows.FoundStep: "play", workflows.FoundQueue: "layers", workflows.FoundFlag: "flag",
	workflows.FoundSet: "flag", workflows.FoundAlert: "bell", workflows.FoundKey: "lock",
	workflows.FoundPerson: "users",
}

func foundURL(mid string, f workflows.Found) string {
	with := func(u, name, value string) string {
		return u + "?" + url.Values{name: {value}}.Encode()
	}
	switch f.Kind {
	case workflows.FoundRun:
		return ui.URL(mid, "runs", f.ID)
	case workflows.FoundOrder:
		return ui.OrderURL(mid, f.ID)
	case workflows.FoundJob:
		return with(ui.URL(mid, "jobs"), "id", f.ID)
	case workflows.FoundStep:
		return ui.StepURL(mid, f.ID, migration.Params{})
	case workflows.FoundQueue:
		return ui.URL(mid, "queues", f.ID)
	case workflows.FoundFlag:
		return ui.URL(mid, "flags", "edit") + "?" +
			url.Values{"set": {f.In}, "key": {f.ID}}.Encode()
	case workflows.FoundSet:
		return with(ui.URL(mid, "flags"), "set", f.ID)
	case workflows.FoundAlert:
		return ui.URL(mid, "alerts")
	case workflows.FoundKey:
		return with(ui.URL(mid, "flags", "keys"), "set", f.In)
	case workflows.FoundPerson:
		return with(ui.URL(mid, "audit"), "person", f.ID)
	}
	return ui.URL(mid)
}

// hasWords reports whether a text has every word of the query, in any case.
func hasWords(text, query string) bool {
	text = strings.ToLower(text)
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// found gives everything that was found, by kind: pages first, then what the migration has, then
// runbooks.
func found(mid, query string, r workflows.SearchAnswer) (groups []ui.OptionGroup) {
	add := func(title string, o ui.Option) {
		if n := len(groups); n == 0 || groups[n-1].Title != title {
			id := fmt.Sprintf("found-%d", n)
			groups = append(groups, ui.OptionGroup{ID: id, Title: title})
		}
		g := &groups[len(groups)-1]
		o.ID = fmt.Sprintf("%s-%d", g.ID, len(g.Options))
		g.Options = append(g.Options, o)
	}
	listed := 0
	for _, p := range ui.Places(mid) {
		if hasWords(p.Label, query) && (listed < suggestedPages || query == "") {
			listed++
			add("Pages", ui.Option{Title: p.Label, URL: p.Path, Icon: p.Icon})
		}
	}
	for _, f := range r.Found {
		o := ui.Option{
			Title: f.Title, Detail: f.Detail, URL: foundURL(mid, f), Icon: foundIcons[f.Kind],
		}
		if f.Kind == workflows.FoundStep {
			o.Title = "Review and start: " + o.Title
		}
		add(foundTitles[f.Kind], o)
	}
	listed = 0
	for _, p := range runbooks.All() {
		if query != "" && hasWords(p.Title+" runbook", query) && listed < suggestedPages {
			listed++
			add("Runbooks", ui.Option{
				Title: p.Title, URL: ui.URL(mid, "runbooks", p.ID), Icon: "calendar-days",
			})
		}
	}
	return groups
}

// notSearched says which sources did not answer, and which found more than is listed.
func notSearched(r workflows.SearchAnswer) (lines []string) {
	for _, s := range r.Sources {
		if s.Error != "" {
			lines = append(lines, "Not searched: "+s.Source+". "+ui.Title(s.Error)+".")
		}
		if s.More {
			lines = append(lines, "More "+s.Source+" fit: add a word.")
		}
	}
	return lines
}

// Suggestions are the lines of the palette for a text, and what is said beside them.
func Suggestions(
	mid, query string, r workflows.SearchAnswer,
) (groups []ui.OptionGroup, said string) {
	groups = found(mid, query, r)
	n := 0
	for _, g := range groups {
		n += len(g.Options)
	}
	lines := notSearched(r)
	if query == "" {
		return groups, ""
	}
	if n == 0 {
		lines = append([]string{"Nothing found at once."}, lines...)
	} else {
		lines = append([]string{ui.Count(n, "hit") + "."}, lines...)
	}
	groups = append(groups, ui.OptionGroup{ID: "found-more", Title: "Everywhere",
		Options: []ui.Option{{
			ID: "found-more-0", Icon: "search", Title: "Search everything for “" + query + "”",
			Detail: "also jobs, on both servers",
			URL:    ui.URL(mid, "search") + "?" + url.Values{"q": {query}}.Encode(),
		}}})
	return groups, strings.Join(lines, " ")
}
