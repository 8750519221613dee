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
	"testing/fstest"
	"time"
)

var wanted = regexp.MustCompile(`// want(-file)?: (.*)$`)

// expected are the findings that a fixture's comments demand: file, line, verdict,
// role and queue.
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
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s:%d %s %s %s", f.At.File, f.At.Line,
			f.Verdict, f.Role, f.Queue)))
	}
	slices.Sort(out)
	return out
}

// unmarked are findings in places where a comment cannot go.
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
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "),
					strings.Join(want, "\n  "))
				for _, f := range r.Findings {
					t.Logf("%s %s %v", f.At, f.Verdict, f.Reasons)
				}
			}
		})
	}
}

// scanned runs a scan of files that only exist in memory.
func scanned(t testing.TB, files map[string]string) Report {
	t.Helper()
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	r, err := run(t.Context(), dir, Options{MaxFileSize: 1 << 20, MaxFiles: 1000, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const complete = `import { Queue } from 'bullmq';
const connection = { host: 'r', enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
export const q = new Queue('orders', { connection, skipWaitingForReady: true, skipVersionCheck: true });
`

// Every option of a passing fixture is removed or changed, one at a time: none of
// the results may pass.
func TestWithoutOneOptionNothingPasses(t *testing.T) {
	t.Parallel()
	mutants := map[*regexp.Regexp]string{
		regexp.MustCompile(`enableOfflineQueue: false,? ?`):                                     "enableOfflineQueue",
		regexp.MustCompile(`maxRetriesPerRequest: [01],? ?`):                                    "maxRetriesPerRequest",
		regexp.MustCompile(`commandTimeout: (2000|1500|2_000),? ?`):                             "commandTimeout",
		regexp.MustCompile(`connectTimeout: (2000|1500|2e3),? ?`):                               "connectTimeout",
		regexp.MustCompile(`retryStrategy: (\(\) => 500|\(n: number\) => Math.min\(.*?\)),? ?`): "retryStrategy",
		regexp.MustCompile(`skipWaitingForReady: true,? ?`):                                     "skipWaitingForReady",
		regexp.MustCompile(`skipVersionCheck: true,? ?`):                                        "skipVersionCheck",
	}
	n := 0
	for name, files := range corpus(t) {
		passing := map[string]bool{}
		for _, f := range scanned(t, files).Findings {
			if f.Verdict == Pass {
				passing[f.ID] = true
			}
		}
		if len(passing) == 0 || name == "our-helper" {
			continue
		}
		for what, option := range mutants {
			without, changed := map[string]string{}, false
			for file, text := range files {
				without[file] = what.ReplaceAllString(text, "")
				changed = changed || without[file] != text
			}
			// the caller sets it
			if !changed || name == "function-returning-options" && option == "commandTimeout" {
				continue
			}
			n++
			for _, f := range scanned(t, without).Findings {
				// An ioredis client has a good retryStrategy by default.
				if f.Verdict == Pass && !(option == "retryStrategy" && f.client == ioredis) {
					t.Errorf("%s without %s: %s passes", name, option, f.At)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d mutants", n)
	}
}

func corpus(t testing.TB) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	root := "testdata/corpus"
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		shape, name, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if out[shape] == nil {
			out[shape] = map[string]string{}
		}
		out[shape][name] = string(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A fault may hide in ways that someone who reads one line does not see. None of
// them may pass.
func TestNothingPassesThatIsNotCertain(t *testing.T) {
	t.Parallel()
	const safe = `const safe = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 2000, connectTimeout: 2000, retryStrategy: () => 500 };
const ready = { skipWaitingForReady: true, skipVersionCheck: true };
import { Queue } from 'bullmq';
`
	for rule, source := range map[string]string{
		"a property is set by a computed name":        `const k = f(); const c = { ...safe, [k]: true }; new Queue('q', { ...ready, connection: c });`,
		"a property is assigned by a computed name":   `const c = { ...safe }; c[f()] = true; new Queue('q', { ...ready, connection: c });`,
		"a nested property is assigned":               `const o = { ...ready, connection: { ...safe } }; o.connection.commandTimeout = 0; new Queue('q', o);`,
		"it is changed through another name":          `const c = { ...safe }; const d = c; d.enableOfflineQueue = true; new Queue('q', { ...ready, connection: c });`,
		"it is changed by Object.assign":              `const c = { ...safe }; Object.assign(c, { enableOfflineQueue: true }); new Queue('q', { ...ready, connection: c });`,
		"it is changed by a function":                 `function f(o) { o.enableOfflineQueue = true; } const c = { ...safe }; f(c); new Queue('q', { ...ready, connection: c });`,
		"it is changed by a function of a package":    `import { merge } from 'lodash'; const c = { ...safe }; merge(c, x); new Queue('q', { ...ready, connection: c });`,
		"it is changed by a function nobody knows":    `const c = { ...safe }; weaken(c); new Queue('q', { ...ready, connection: c });`,
		"it is changed in a callback":                 `const c = { ...safe }; on('x', () => { delete c.commandTimeout; }); new Queue('q', { ...ready, connection: c });`,
		"a variable is assigned anew":                 `let c = safe; if (x) c = { host: 'r' }; new Queue('q', { ...ready, connection: c });`,
		"a variable is assigned by a pattern":         `let c = safe; ({ c } = x); new Queue('q', { ...ready, connection: c });`,
		"a loop changes it":                           `let c = safe; for (c of list) {} new Queue('q', { ...ready, connection: c });`,
		"the options are changed by destructuring":    `const c = { ...safe }; [c.commandTimeout] = [0]; new Queue('q', { ...ready, connection: c });`,
		"the constant shadows another":                `function g(safe) { return new Queue('q', { ...ready, connection: safe }); }`,
		"a later var shadows it":                      `function g() { var safe = x; return new Queue('q', { ...ready, connection: safe }); }`,
		"a getter":                                    `const c = { ...safe, get commandTimeout() { return x; } }; new Queue('q', { ...ready, connection: c });`,
		"a default that may not be used":              `const { c = safe } = x; new Queue('q', { ...ready, connection: c });`,
		"a fallback that may not be used":             `new Queue('q', { ...ready, connection: x ?? safe });`,
		"a logical or":                                `new Queue('q', { ...ready, connection: x || safe });`,
		"one branch of a function":                    `function c() { if (x) return safe; } new Queue('q', { ...ready, connection: c() });`,
		"a function that is reassigned":               `let c = () => safe; c = x; new Queue('q', { ...ready, connection: c() });`,
		"try and catch":                               `function c() { try { return safe; } catch { return {}; } } new Queue('q', { ...ready, connection: c() });`,
		"switch":                                      `function c() { switch (x) { case 1: return safe; } } new Queue('q', { ...ready, connection: c() });`,
		"a prototype":                                 `const c = Object.create(safe); new Queue('q', { ...ready, connection: c });`,
		"null":                                        `new Queue('q', { ...ready, connection: null });`,
		"options that are spread away":                `new Queue('q', { ...ready, connection: safe, ...x });`,
		"options that are spread away in part":        `new Queue('q', { ...ready, connection: safe, ...(x && { connection: {} }) });`,
		"a class field that a subclass changes":       `class A { c = safe; q = new Queue('q', { ...ready, connection: this.c }); } class B extends A { c = {}; }`,
		"a class field that a method changes":         `class A { c = safe; m() { this.c = x; } n() { return new Queue('q', { ...ready, connection: this.c }); } }`,
		"a class field that others change":            `class A { c = safe; n() { return new Queue('q', { ...ready, connection: this.c }); } } const a = new A(); a.c = {};`,
		"a class field that a method changes by name": `class A { c = safe; m() { this['c'] = x; } n() { return new Queue('q', { ...ready, connection: this.c }); } }`,
		"a class field changed inside":                `class A { c = { ...safe }; m() { this.c.commandTimeout = 0; } n() { return new Queue('q', { ...ready, connection: this.c }); } }`,
		"a class field set by Object.assign":          `class A { c = safe; constructor(o) { Object.assign(this, o); } n() { return new Queue('q', { ...ready, connection: this.c }); } }`,
		"a retry strategy that gives up":              `new Queue('q', { ...ready, connection: { ...safe, retryStrategy: (n) => n < 9 && 500 } });`,
		"a retry strategy that nobody knows":          `new Queue('q', { ...ready, connection: { ...safe, retryStrategy: x } });`,
		"a retry strategy without a number":           `new Queue('q', { ...ready, connection: { ...safe, retryStrategy: () => {} } });`,
		"Infinity":                                    `new Queue('q', { ...ready, connection: { ...safe, commandTimeout: Infinity } });`,
		"a negative number":                           `new Queue('q', { ...ready, connection: { ...safe, commandTimeout: -1 } });`,
		"a class of another file that is missing":     `import { Queue as Q } from './gone'; new Q('q', { ...ready, connection: safe }); new Queue('r', {});`,
		"Queue is constructed by name":                `const ctor = { Queue }; new ctor[x]('q', {}); new Queue('r', {});`,
		"an instance whose options are changed":       `import Redis from 'ioredis'; const c = new Redis(safe); c.options.commandTimeout = 0; new Queue('q', { ...ready, connection: c });`,
		"an instance whose options are spread":        `import Redis from 'ioredis'; const c = new Redis({ ...safe, ...x }); new Queue('q', { ...ready, connection: c });`,
		"two option objects, the first wins":          `import Redis from 'ioredis'; const c = new Redis({ enableOfflineQueue: true }, safe); new Queue('q', { ...ready, connection: c });`,
		"a class that extends Redis":                  `import Redis from 'ioredis'; class R extends Redis { constructor(o) { super({ ...o, enableOfflineQueue: true }); } } new Queue('q', { ...ready, connection: new R(safe) });`,
		"a queue's class that changes the options":    `class Q extends Queue { constructor(n, o) { o.connection = {}; super(n, o); } } new Q('q', { ...ready, connection: safe });`,
		"an environment variable as a boolean":        `new Queue('q', { ...ready, connection: { ...safe, enableOfflineQueue: !!process.env.X } });`,
		"a parameter that is changed":                 `function g(c) { c.commandTimeout = 0; return new Queue('q', { ...ready, connection: c }); } g(safe);`,
		"a factory called in two ways":                `function g(c = safe) { return new Queue('q', { ...ready, connection: c }); } g(); g({});`,
		"a factory that is exported as a value":       `const g = (c) => new Queue('q', { ...ready, connection: c }); g(safe); export const all = { g }; list.map(g);`,
		"a module that is changed from outside":       `import * as me from './a'; me.options.x = 1; export const options = { ...ready, connection: safe }; new Queue('q', options);`,
		"eval of the name":                            `const c = { ...safe }; Reflect.set(c, 'commandTimeout', 0); new Queue('q', { ...ready, connection: c });`,
		"defineProperty":                              `const c = { ...safe }; Object.defineProperty(c, 'commandTimeout', { value: 0 }); new Queue('q', { ...ready, connection: c });`,
	} {
		r := scanned(t, map[string]string{"a.js": safe + source, "package.json": "{}"})
		if len(r.Findings) == 0 {
			t.Errorf("%s: nothing found", rule)
		}
		for _, f := range r.Findings {
			if f.Verdict == Pass {
				t.Errorf("%s: %s passes\n%s", rule, f.Expr, source)
			}
		}
	}
}
