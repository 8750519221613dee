// Package scan reads TypeScript and JavaScript and says for every place that makes a
// BullMQ producer whether its connection fails when Redis does: PASS, FAIL with the
// fix, or REVIEW where the source does not tell. It runs nothing and needs no Node.
// What it cannot read is REVIEW, never PASS.
package scan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Verdict of one finding.
type Verdict string

// Verdicts. A Review blocks until somebody decides.
const (
	Pass   Verdict = "PASS"
	Fail   Verdict = "FAIL"
	Review Verdict = "REVIEW"
)

// Position in a file, both counted from 1.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Finding is one construction, or one thing that could not be read.
type Finding struct {
	ID       string    `json:"id"` // the same while file, queue and order stay
	Role     Role      `json:"role"`
	Verdict  Verdict   `json:"verdict"`
	Queue    string    `json:"queue,omitempty"` // empty: not known
	At       Position  `json:"at"`
	Expr     string    `json:"expression"`
	Checks   []Check   `json:"checks,omitempty"`
	Reasons  []string  `json:"reasons,omitempty"`
	Fix      string    `json:"fix,omitempty"`
	Decision *Decision `json:"decision,omitempty"` // that counts

	key    string // names it among those of its file and role
	caller bool   // it depends on who calls the function around it
	client string // what the connection is
}

// Open says whether the finding blocks.
func (f Finding) Open() bool {
	return f.Verdict == Fail || f.Verdict == Review && f.Decision == nil
}

// Report of a scan.
type Report struct {
	Files int `json:"files"` // read
	// files by why they were not read; folders count as one
	Excluded map[string]int `json:"excluded"`
	Findings []Finding      `json:"findings"`
	Notes    []string       `json:"notes,omitempty"` // about decisions
}

// Counts by verdict; decided are the reviews that a decision settles.
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

// Green says whether every construction passes or was decided on. Nothing found is not
// green: it proves nothing.
func (r Report) Green() bool {
	_, fail, review, _ := r.Counts()
	return len(r.Findings) > 0 && fail == 0 && review == 0
}

// Options of a scan; zero values give the defaults.
type Options struct {
	MaxFileSize int64     // bytes, default 1 MiB; a larger file is REVIEW
	MaxFiles    int       // default 50,000; more are an error
	Now         time.Time // for the expiry of decisions; default now
}

var skipDirs = map[string]string{
	"node_modules": "packages", "bower_components": "packages", "dist": "built",
	"coverage": "built",
	"testdata": "tests", "test": "tests", "tests": "tests", "__tests__": "tests",
	"__mocks__": "tests", "__fixtures__": "tests",
}

var (
	testFile = regexp.MustCompile(`\.(test|spec|e2e-spec|stories)\.[cm]?[jt]sx?$`)
	typeFile = regexp.MustCompile(`\.d(\.[^.]+)?\.[cm]?ts$`)
	mentions = regexp.MustCompile(`(?i)bullmq|['"]bull['"]|flowproducer|registerQueue`)
)

// otherSources hold JavaScript in a language of their own, which is not read.
var otherSources = []string{".vue", ".svelte", ".astro", ".coffee", ".civet"}

// Run scans a folder. Symbolic links are not followed.
//
// Errors: NotFound when there is no such folder, Invalid when a limit or the reviews
// file is wrong, Unavailable when the time of ctx is up.
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
			"the scan was not done in its time: nothing is known")
	}
	return r, err
}

func run(ctx context.Context, files fs.FS, o Options) (Report, error) {
	p := &program{
		units:   map[string]*unit{},
		broken:  map[string]string{},
		paths:   map[string]tsPaths{},
		works:   map[string]string{},
		subs:    map[*class][]*class{},
		written: map[string]bool{},
	}
	r := Report{Excluded: map[string]int{}}
	names, err := p.list(ctx, files, o, &r)
	if err != nil {
		return Report{}, err
	}
	if err := p.load(ctx, files, names); err != nil {
		return Report{}, err
	}
	r.Files = len(names)
	r.Findings = append(p.refused, p.sites()...)
	for name, why := range p.broken {
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

func unread(name, why string) Finding {
	return Finding{Role: RoleFile, Verdict: Review, At: Position{name, 1, 1},
		Expr: path.Base(name), key: "file", Reasons: []string{"the file was not read: " + why},
		Fix: "Look for queues in it, and decide."}
}

// identify sorts findings and gives each its id: file, role, what names the queue, and
// the how-manieth of those.
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

// list finds the files to read, and what says how imports are resolved.
func (p *program) list(
	ctx context.Context, files fs.FS, o Options, r *Report,
) ([]string, error) {
	var names, configs []string
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			p.refused = append(p.refused, unread(name, "no access"))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if why, skip := skipDirs[base]; skip {
				r.Excluded[why]++
				return fs.SkipDir
			}
			if strings.HasPrefix(base, ".") {
				r.Excluded["hidden"]++
				return fs.SkipDir
			}
			return nil
		}
		_, source := loaders[path.Ext(name)]
		if d.Type()&fs.ModeSymlink != 0 {
			p.link(files, name, source, r)
			return nil
		}
		if base == "tsconfig.json" || base == "jsconfig.json" || base == "package.json" {
			configs = append(configs, name)
		}
		switch {
		case slices.Contains(otherSources, path.Ext(name)):
			if b, err := fs.ReadFile(files, name); err != nil || mentions.Match(b) {
				p.refused = append(p.refused,
					unread(name, "this language is not read, and it speaks of BullMQ"))
			}
			return nil
		case !source:
			return nil
		case testFile.MatchString(base):
			r.Excluded["tests"]++
			return nil
		case typeFile.MatchString(base):
			r.Excluded["types"]++
			return nil
		}
		info, err := d.Info()
		if err != nil {
			p.refused = append(p.refused, unread(name, "no access"))
			return nil
		}
		if info.Size() > o.MaxFileSize {
			p.broken[name] = fmt.Sprintf("it has %d bytes, the limit is %d", info.Size(),
				o.MaxFileSize)
			return nil
		}
		if len(names) == o.MaxFiles {
			return migration.Errorf(migration.Invalid,
				"the folder has more than %d source files: scan its parts", o.MaxFiles)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		p.configure(files, c)
	}
	return names, nil
}

// link looks where a symbolic link leads. Inside the folder its target is read at its
// own place; outside it is not read.
func (p *program) link(files fs.FS, name string, source bool, r *Report) {
	info, err := fs.Stat(files, name)
	if err == nil {
		r.Excluded["links"]++
		return
	}
	if source || info == nil && path.Ext(name) == "" {
		p.refused = append(p.refused,
			unread(name, "it is a symbolic link that leads out of the folder, or nowhere"))
	}
}

// configure reads path aliases and names of packages. Comments and trailing commas are
// allowed there, as in TypeScript.
func (p *program) configure(files fs.FS, name string) {
	dir := path.Dir(name)
	if path.Base(name) == "package.json" {
		b, err := fs.ReadFile(files, name)
		var m struct{ Name string }
		if err == nil && json.Unmarshal(b, &m) == nil && m.Name != "" && dir != "." {
			p.works[m.Name] = dir
		}
		return
	}
	p.paths[dir] = p.aliases(files, name, 0)
}

func (p *program) aliases(files fs.FS, name string, depth int) tsPaths {
	t := tsPaths{base: path.Dir(name)}
	b, err := fs.ReadFile(files, name)
	if err != nil || depth > 10 || len(b) > 1<<20 {
		return t
	}
	u, err := parse(name+".js", append([]byte("module.exports = "), b...))
	if err != nil || len(u.whole) != 1 {
		return t
	}
	x := &evaluator{p: p}
	o := x.eval(u, u.whole[0], nil)
	extends := x.member2(o, "extends")
	if extends.kind == text && strings.HasPrefix(extends.text, ".") {
		up := path.Join(path.Dir(name), extends.text)
		if path.Ext(up) != ".json" {
			up += ".json"
		}
		t = p.aliases(files, up, depth+1)
	}
	c := x.member2(o, "compilerOptions")
	if base := x.member2(c, "baseUrl"); base.kind == text {
		t.base, t.plain = path.Join(path.Dir(name), base.text), true
	}
	if paths := x.member2(c, "paths"); paths.kind == object {
		if !t.plain {
			t.base = path.Dir(name)
		}
		t.alias = map[string][]string{}
		for k, v := range paths.props {
			for _, it := range v.items {
				t.alias[k] = append(t.alias[k], it.text)
			}
		}
	}
	return t
}
