// Command measure prints how large the packages are and how wide their lines: `go run ./scripts/measure`.
// It is a table to look at, not a gate; "!" marks a figure beyond the limits named below.
//
// Counted are the files of git that a person writes: Go and templ, without tests and without generated
// code. Every line counts as a line; widths are those of the lines that are not empty, in characters,
// with a tab as four columns, which is what golines and the linter take it for.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// What the layout allows a package, and a line of the whole.
const (
	maxFiles    = 20
	maxLines    = 4000
	maxFile     = 500
	maxP90      = 85
	maxOver120  = 1.0 // percent
	tabColumns  = "    "
	totalName   = "total"
	testsName   = "tests, not in the total"
	rootPackage = "(root)"
)

// generated is the line by which Go's tools know a generated file.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// size is what one row of the table says.
type size struct {
	name    string
	files   int
	lines   int
	longest int
	file    string // the longest
	widths  []int
}

func (s *size) add(name, text string) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	s.files++
	s.lines += len(lines)
	if len(lines) > s.longest {
		s.longest, s.file = len(lines), path.Base(name)
	}
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", tabColumns))
			s.widths = append(s.widths, width)
		}
	}
}

// percentile expects sorted widths.
func (s *size) percentile(p int) int {
	if len(s.widths) == 0 {
		return 0
	}
	return s.widths[(len(s.widths)-1)*p/100]
}

// over is the percentage of lines wider than limit.
func (s *size) over(limit int) float64 {
	n := 0
	for _, w := range s.widths {
		if w > limit {
			n++
		}
	}
	return 100 * float64(n) / float64(max(1, len(s.widths)))
}

func main() {
	sizes, err := measure()
	if err == nil {
		err = write(os.Stdout, sizes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// measure reads the files that git knows or would add, and sorts the rows by package; the sums come last.
func measure() ([]*size, error) {
	git := exec.CommandContext(context.Background(), "git", "ls-files", "-co", "--exclude-standard", "*.go", "*.templ")
	names, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	packages := map[string]*size{}
	total, tests := &size{name: totalName}, &size{name: testsName}
	for name := range strings.Lines(string(names)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) { // deleted, and git has not been told yet
			continue
		}
		if err != nil {
			return nil, err
		}
		switch {
		case generated.Match(text):
			continue
		case strings.HasSuffix(name, "_test.go"):
			tests.add(name, string(text))
			continue
		}
		pkg := path.Dir(name)
		if pkg == "." {
			pkg = rootPackage
		}
		if packages[pkg] == nil {
			packages[pkg] = &size{name: pkg}
		}
		packages[pkg].add(name, string(text))
		total.add(name, string(text))
	}
	rows := make([]*size, 0, len(packages)+2)
	for _, s := range packages {
		rows = append(rows, s)
	}
	slices.SortFunc(rows, func(a, b *size) int { return cmp.Compare(a.name, b.name) })
	rows = append(rows, total, tests)
	for _, s := range rows {
		slices.Sort(s.widths)
	}
	return rows, nil
}

func write(out io.Writer, rows []*size) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "files\tlines\tlongest\tp50\tp90\tmax\t>100\t>120\t  package (its longest file)")
	for _, s := range rows {
		sum := s.name == totalName || s.name == testsName
		name := fmt.Sprintf("  %s (%s)", s.name, s.file)
		_, _ = fmt.Fprintf(w, "%d%s\t%d%s\t%d%s\t%d\t%d%s\t%d\t%.1f %%\t%.1f %%%s\t%s\n",
			s.files, mark(!sum && s.files > maxFiles),
			s.lines, mark(!sum && s.lines > maxLines),
			s.longest, mark(s.longest > maxFile),
			s.percentile(50), s.percentile(90), mark(s.percentile(90) > maxP90), s.percentile(100),
			s.over(100), s.over(120), mark(s.over(120) > maxOver120), name)
	}
	return w.Flush()
}

func mark(beyond bool) string {
	if beyond {
		return "!"
	}
	return " "
}
