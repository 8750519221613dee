// Package runbooks is a page for each step and each alert: what it means, what to look at, what
// to do, and how to undo it.
package runbooks

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/yuin/goldmark"

	"github.com/switchyard-dev/switchyard/migration"
)

//go:embed *.md
var files embed.FS

// Page is a runbook.
type Page struct {
	ID    string // step-<step> or alert-<kind>
	Title string
	HTML  string // of our own text: safe
}

// OfStep names the runbook of a step.
func OfStep(step string) string { return "step-" + step }

// OfAlert names the runbook of an alert by its key, <migration>/<kind>/...; "": there is none.
func OfAlert(key string) string {
	parts := strings.Split(key, "/")
	for n := min(len(parts), 3); n > 1; n-- {
		id := "alert-" + strings.Join(parts[1:n], "-")
		if _, known := Find(id); known {
			return id
		}
	}
	return ""
}

// Steps are the runbooks of the initiative's steps, in their order.
func Steps() (all []Page) {
	for _, step := range []string{migration.StepAudit, migration.StepFixPolicy,
		migration.StepSentinelMove, migration.StepSentinelTest, migration.StepBreakerDrill,
		migration.StepWebhookRetry, migration.StepProvision, migration.StepCutover,
		migration.StepDualWrite, migration.StepMoveQueues, migration.StepMoveResidue,
		migration.StepDecommission} {
		if p, known := Find(OfStep(step)); known {
			all = append(all, p)
		}
	}
	return all
}

// Alerts are the runbooks of alerts, by title.
func Alerts() (all []Page) {
	for _, p := range All() {
		if strings.HasPrefix(p.ID, "alert-") {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Page) int { return strings.Compare(a.Title, b.Title) })
	return all
}

// Find gives a runbook.
func Find(id string) (Page, bool) {
	all := All()
	at, found := slices.BinarySearchFunc(all, id, func(p Page, id string) int {
		return strings.Compare(p.ID, id)
	})
	if !found {
		return Page{}, false
	}
	return all[at], true
}

// All are the runbooks by id.
func All() []Page { return read() }

var read = sync.OnceValue(func() (all []Page) {
	names, err := files.ReadDir(".")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, f := range names {
		text, err := files.ReadFile(f.Name())
		if err != nil {
			panic(err)
		}
		p, err := page(strings.TrimSuffix(f.Name(), ".md"), text)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
})

// elsewhere are links to documents that the program does not serve.
var elsewhere = regexp.MustCompile(`\[([^\]]+)\]\(\.\./[^)]+\)`)

func page(id string, text []byte) (Page, error) {
	title, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok || !bytes.HasPrefix(title, []byte("# ")) {
		return Page{}, fmt.Errorf("%s has no title", id)
	}
	var html bytes.Buffer
	if err := goldmark.Convert(elsewhere.ReplaceAll(body, []byte("docs/$1")), &html); err != nil {
		return Page{}, fmt.Errorf("%s: %w", id, err)
	}
	return Page{ID: id, Title: string(title[2:]), HTML: html.String()}, nil
}
