package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/workflows"
)

var (
	codeSpan = regexp.MustCompile("`(switchyard [^`]+)`")
	quoted   = regexp.MustCompile(`"[^"]*"`)
	// placeholders are written in capitals.
	placeholder = regexp.MustCompile(`^[A-Z]+$`)
)

// Whoever is woken copies a command out of a runbook: each of them is one.
func TestEveryCommandOfARunbookIsOne(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "docs", "runbooks", "*.md"))
	if err != nil || len(files) < 25 {
		t.Fatal(files, err)
	}
	commands := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range codeSpan.FindAllStringSubmatch(string(text), -1) {
			args := strings.Fields(quoted.ReplaceAllString(m[1], "words"))[1:]
			for i, arg := range args {
				switch {
				case arg == "PROVIDER":
					args[i] = "stripe"
				case placeholder.MatchString(arg):
					args[i] = "1"
				case arg == "switchyard.yaml":
					args[i] = "runbooks_test.go" // a file that is there
				}
			}
			parser, err := newParser(io.Discard, io.Discard, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(file), m[1], err)
			}
			commands++
		}
	}
	if commands < 25 {
		t.Errorf("%d commands were found", commands)
	}
}

func TestEveryStepHasARunbook(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, p := range runbooks.Steps() {
		listed[p.ID] = true
	}
	for _, id := range workflows.StepIDs() {
		if !listed[runbooks.OfStep(id)] {
			t.Errorf("%s has none, or is not in runbooks.Steps", id)
		}
	}
}
