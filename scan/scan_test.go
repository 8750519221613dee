package scan

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var wanted = regexp.MustCompile(`// want(-file)?: (.*)$`)

// expected are the findings that the comments of a fixture ask for: file, line, verdict, role and queue.
func expected(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		for i, line := range strings.Split(string(b), "\n") {
			m := wanted.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			for _, w := range strings.Split(m[2], ";") {
				out = append(out, fmt.Sprintf("%s:%d %s", name, i+1, strings.TrimSpace(w)))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func shown(r Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s:%d %s %s %s", f.At.File, f.At.Line, f.Verdict, f.Role, f.Queue)))
	}
	slices.Sort(out)
	return out
}

// unmarked are findings in places where a comment cannot stand.
var unmarked = map[string][]string{
	"single-file-component": {"a.vue:1 REVIEW file"},
}

func TestEveryShapeOfTheCorpusGetsItsVerdict(t *testing.T) {
	t.Parallel()
	dirs, err := os.ReadDir("testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 40 {
		t.Fatalf("%d shapes", len(dirs))
	}
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("testdata/corpus", d.Name())
			r, err := Run(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := append(expected(t, dir), unmarked[d.Name()]...)
			slices.Sort(want)
			if got := shown(r); !slices.Equal(got, want) {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
				for _, f := range r.Findings {
					t.Logf("%s %s %v", f.At, f.Verdict, f.Reasons)
				}
			}
		})
	}
}
