// Command mutants asks of a package's tests whether they notice when its conditions change.
// Every condition of the given files is flipped, held true and held false, and every loop
// over a list runs over its first element only, or leaves that one out (one that counts runs
// once, or once less). A mutant that no test notices survives; survivors are listed with the
// reason why nobody should mind, or are a hole in the tests.
//
// All mutants are built into one test binary at once, and chosen by a variable of the
// environment, so that a mutant costs a run and no build. Which tests reach which mutant is
// found out first; a mutant is tried with those tests alone, and with -short.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	log := func(err error) {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	o := options{}
	flag.StringVar(&o.files, "files", "*.go", "glob of the package's files to mutate")
	flag.StringVar(&o.tests, "run", ".", "tests to try, as go test -run has it")
	flag.StringVar(&o.not, "skip", "^$", "tests not to try, as go test -skip has it")
	flag.StringVar(&o.known, "survivors", "", "file of known survivors and why nobody minds")
	flag.StringVar(&o.match, "match", "", "try the mutants alone whose key this matches")
	flag.IntVar(&o.every, "every", 1, "try every n-th mutant only")
	flag.Float64Var(&o.least, "least", 0, "percent that must be noticed")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "of one run")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "runs at once")
	flag.Parse()
	if flag.NArg() != 1 {
		log(errors.New("give the directory of one package"))
	}
	o.dir = flag.Arg(0)
	noticed, err := o.run()
	if err != nil {
		log(err)
	}
	if noticed < o.least {
		log(fmt.Errorf("%.1f %% noticed, %.1f %% are needed", noticed, o.least))
	}
}

type options struct {
	dir, files, tests, not, known, match string
	every, jobs                          int
	least                                float64
	timeout                              time.Duration
}

// mutant is one change of the code. Its key tells it from the others of its package, and does
// not depend on line numbers.
type mutant struct {
	id  int
	at  string // file:line, for people
	key string // file function mode expression #n
	// quick and slow are the tests that reach it; most mutants are noticed by a quick one.
	quick, slow []string
	// void: a loop over what nothing can be left out of.
	void bool
}

// quickly is how long a test may take that is tried before the others.
const quickly = 150 * time.Millisecond

func (o options) run() (float64, error) {
	known, err := readKnown(o.known)
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	binary, mutants, err := o.build(tmp)
	if err != nil {
		return 0, err
	}
	tests, err := o.list(binary)
	if err != nil {
		return 0, err
	}
	if err := o.reach(binary, tmp, tests, mutants); err != nil {
		return 0, err
	}
	match, err := regexp.Compile(o.match)
	if err != nil {
		return 0, err
	}
	tried := make([]*mutant, 0, len(mutants))
	for i, m := range mutants {
		if i%o.every == 0 && !m.void && match.MatchString(m.key) {
			tried = append(tried, m)
		}
	}
	open, excused := 0, 0
	for m := range o.try(binary, tried) {
		if _, ok := known[m.key]; ok {
			excused++
			delete(known, m.key)
			continue
		}
		open++
		fmt.Printf("survived\t%s\t%s\n", m.at, m.key)
	}
	if o.every == 1 && o.match == "" {
		for key := range known {
			fmt.Printf("noticed now, take it off the list\t%s\n", key)
		}
	}
	n := len(tried) - excused
	noticed := 100 * float64(n-open) / float64(max(n, 1))
	fmt.Printf("%s: %d of %d mutants noticed (%.1f %%), %d more excused by name\n",
		o.dir, n-open, n, noticed, excused)
	return noticed, nil
}

// readKnown reads lines of a key, a tab and a reason.
func readKnown(file string) (map[string]string, error) {
	known := map[string]string{}
	if file == "" {
		return known, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, why, ok := strings.Cut(line, "\t")
		if !ok || strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("%s: %q gives no reason after a tab", file, line)
		}
		known[key] = why
	}
	return known, nil
}

// build makes the test binary with every mutant in it.
func (o options) build(tmp string) (binary string, all []*mutant, err error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return "", nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, o.files))
	if err != nil {
		return "", nil, err
	}
	overlay := map[string]string{}
	pkg := ""
	for _, file := range files {
		built, err := build.Default.MatchFile(dir, filepath.Base(file))
		if err != nil {
			return "", nil, err
		}
		if !built || strings.HasSuffix(file, "_test.go") {
			continue
		}
		r := rewriter{next: len(all)}
		name, text, err := r.file(file)
		if err != nil {
			return "", nil, err
		}
		pkg = name
		all = append(all, r.found...)
		out := filepath.Join(tmp, strconv.Itoa(len(overlay))+".go")
		if err := os.WriteFile(out, text, 0o600); err != nil {
			return "", nil, err
		}
		overlay[file] = out
	}
	if len(all) == 0 {
		return "", nil, fmt.Errorf("nothing to change in %s of %s", o.files, o.dir)
	}
	number(all)
	aid := filepath.Join(tmp, "aid.go")
	if err := os.WriteFile(aid, []byte("package "+pkg+"\n"+aidSource), 0o600); err != nil {
		return "", nil, err
	}
	overlay[filepath.Join(dir, "mutants_aid.go")] = aid
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", nil, err
	}
	list := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		return "", nil, err
	}
	binary = filepath.Join(tmp, "mutants.test")
	cmd := exec.CommandContext(context.Background(), "go", "test",
		"-c", "-vet=off", "-overlay", list, "-o", binary, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	return binary, all, nil
}

// number tells mutants of the same words in one function apart by their order.
func number(all []*mutant) {
	seen := map[string]int{}
	for _, m := range all {
		seen[m.key]++
		if n := seen[m.key]; n > 1 {
			m.key += " #" + strconv.Itoa(n)
		}
	}
}

func (o options) command(binary, run string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), binary,
		"-test.run", run, "-test.failfast", "-test.short", "-test.timeout", o.timeout.String())
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

func (o options) list(binary string) ([]string, error) {
	not, err := regexp.Compile(o.not)
	if err != nil {
		return nil, fmt.Errorf("-skip: %w", err)
	}
	cmd := exec.CommandContext(context.Background(), binary,
		"-test.list", o.tests)
	cmd.Dir = o.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var tests []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if (strings.HasPrefix(line, "Test") || strings.HasPrefix(line, "Fuzz")) &&
			!not.MatchString(line) {
			tests = append(tests, line)
		}
	}
	return tests, nil
}

// reach runs each test by itself, unchanged, and keeps which mutants it reaches. A test that
// fails by itself says nothing of mutants.
func (o options) reach(binary, tmp string, tests []string, all []*mutant) error {
	byID := map[int]*mutant{}
	for _, m := range all {
		byID[m.id] = m
	}
	for _, test := range tests {
		file, began := filepath.Join(tmp, test), time.Now()
		out, err := o.command(binary, "^"+test+"$", "MUTANTS_REACHED="+file).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s fails on the code as it is: %w\n%s", test, err, tail(out))
		}
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // it reaches none
		}
		if err != nil {
			return err
		}
		took := time.Since(began)
		for _, word := range strings.Fields(string(b)) {
			id, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			switch m := byID[id]; {
			case id < 0: // the first of a loop's two
				byID[-id].void, byID[-id+1].void = true, true
			case m == nil:
			case took < quickly:
				m.quick = append(m.quick, test)
			default:
				m.slow = append(m.slow, test)
			}
		}
	}
	return nil
}

// try gives the mutants that no test noticed, as they are found.
func (o options) try(binary string, all []*mutant) <-chan *mutant {
	todo, survived := make(chan *mutant), make(chan *mutant)
	var workers sync.WaitGroup
	for range o.jobs {
		workers.Go(func() {
			for m := range todo {
				if !o.noticed(binary, m, m.quick) && !o.noticed(binary, m, m.slow) {
					survived <- m
				}
			}
		})
	}
	go func() {
		for _, m := range all {
			todo <- m
		}
		close(todo)
		workers.Wait()
		close(survived)
	}()
	return survived
}

// noticed reports whether one of the tests fails over a mutant.
func (o options) noticed(binary string, m *mutant, tests []string) bool {
	if len(tests) == 0 {
		return false
	}
	run := "^(" + strings.Join(tests, "|") + ")$"
	return o.command(binary, run, "MUTANT="+strconv.Itoa(m.id)).Run() != nil
}

// tail gives the last lines of an output.
func tail(out []byte) string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
