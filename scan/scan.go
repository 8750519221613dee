// Package scan reads TypeScript and JavaScript and says for every place that makes
// a BullMQ producer whether its connection fails when Redis does: PASS, FAIL with
// the fix, or REVIEW where the source does not tell. It runs nothing and needs no
// Node. What it cannot read is REVIEW, never PASS.
package scan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/scan/js"
)

// Verdict is the result for one finding.
type Verdict string

// The verdicts. A Review blocks until somebody decides.
const (
	Pass   Verdict = "PASS"
	Fail   Verdict = "FAIL"
	Review Verdict = "REVIEW"
)

// Position is a place in a file.
type Position = js.Position

// Finding is one construction, or one thing that could not be read.
type Finding struct {
	ID       string    `json:"id"` // stable as long as file, queue and order are
	Role     Role      `json:"role"`
	Verdict  Verdict   `json:"verdict"`
	Queue    string    `json:"queue,omitempty"` // empty: unknown
	At       Position  `json:"at"`
	Expr     string    `json:"expression"`
	Checks   []Check   `json:"checks,omitempty"`
	Reasons  []string  `json:"reasons,omitempty"`
	Fix      string    `json:"fix,omitempty"`
	Decision *Decision `json:"decision,omitempty"` // the one in force

	key    string // identifies it among those of its file and role
	caller bool   // the result depends on who calls the surrounding function
	client string // the kind of client
}

// Open reports whether the finding blocks.
func (f Finding) Open() bool {
	return f.Verdict == Fail || f.Verdict == Review && f.Decision == nil
}

// Report is the result of a scan.
type Report struct {
	Files int `json:"files"` // number read
	// files that were not read, by reason; a folder counts as one
	Excluded map[string]int `json:"excluded"`
	Findings []Finding      `json:"findings"`
	Notes    []string       `json:"notes,omitempty"` // about decisions
}

// Counts counts findings by verdict; decided are the reviews settled by a decision.
func (r Report) Counts() (pass, fail, review, decided int) {
	for _, f := range r.Findings {
		switch {
		case f.Verdict == Pass:
			pass++
		case f.Verdict == Fail:
			fail++
		case f.Decision != nil:
			decided++
		default:
			review++
		}
	}
	return
}

// Green reports whether every construction passes or was decided on. An empty
// report is not green: it proves nothing.
func (r Report) Green() bool {
	_, fail, review, _ := r.Counts()
	return len(r.Findings) > 0 && fail == 0 && review == 0
}

// Options control a scan; zero values mean the defaults.
type Options struct {
	MaxFileSize int64     // in bytes, default 1 MiB; a larger file is REVIEW
	MaxFiles    int       // default 50,000; more are an error
	Now         time.Time // for the expiry of decisions; default now
}

// Run scans a folder. Symbolic links are not followed.
//
// Errors: NotFound when there is no such folder, Invalid when a limit is exceeded
// or the reviews file is wrong, Unavailable when ctx ends first.
func Run(ctx context.Context, dir string, o Options) (Report, error) {
	o.MaxFileSize = cmp.Or(o.MaxFileSize, 1<<20)
	o.MaxFiles = cmp.Or(o.MaxFiles, 50_000)
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, migration.Errorf(migration.NotFound, "no folder to scan: %v", err)
	}
	defer root.Close()
	r, err := run(ctx, root.FS(), o)
	if errors.Is(err, context.DeadlineExceeded) {
		return Report{}, migration.Errorf(migration.Unavailable,
			"the scan did not finish in time: nothing is known")
	}
	return r, err
}

// scanner is one scan in progress.
type scanner struct {
	*js.Program
	refused []Finding // files that could not be read
}

func run(ctx context.Context, files fs.FS, o Options) (Report, error) {
	s := &scanner{}
	s.Program = js.New(js.Packages{
		Exports: func(pkg, name string) bool { return roleOf(pkg, name) != "" },
		Call:    builtin,
	})
	r := Report{Excluded: map[string]int{}}
	names, err := s.list(ctx, files, o, &r)
	if err != nil {
		return Report{}, err
	}
	if err := s.Load(ctx, files, names); err != nil {
		return Report{}, err
	}
	r.Files = len(names)
	r.Findings = append(s.refused, s.sites()...)
	for name, why := range s.Broken {
		r.Findings = append(r.Findings, unread(name, why))
	}
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	identify(r.Findings)
	reviews, err := readReviews(files)
	if err != nil {
		return Report{}, err
	}
	r.decide(reviews, o.Now)
	return r, nil
}

// identify sorts findings and assigns their IDs, which depend on file, role, key,
// and a count of findings that share these.
func identify(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.At.File, b.At.File), a.At.Line-b.At.Line,
			a.At.Column-b.At.Column, strings.Compare(a.key, b.key))
	})
	seen := map[string]int{}
	for i, f := range fs {
		k := strings.Join([]string{f.At.File, string(f.Role), f.key}, "\x00")
		seen[k]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", k, seen[k]))
		fs[i].ID = hex.EncodeToString(sum[:6])
	}
}
