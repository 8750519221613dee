package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is how a command ended, and what it printed.
type result struct {
	rule      string // for the message when it is not as expected
	code      int
	out, errs string
}

// env are environment variables.
type env map[string]string

// run runs a command line as the process would.
func run(ctx context.Context, rule string, vars env, args ...string) result {
	var out, errs bytes.Buffer
	code := runIn(&shell{ctx, func(k string) string { return vars[k] }, &out, &errs, nil}, args)
	return result{rule, code, out.String(), errs.String()}
}

// want complains unless the command ended with that code and printed those parts.
func (r result) want(t *testing.T, code int, out, errs string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.errs, errs) {
		t.Errorf("%s: exit %d, want %d, %q and %q\n%s\n%s",
			r.rule, r.code, code, out, errs, r.out, r.errs)
	}
}

// hides complains if the word was printed.
func (r result) hides(t *testing.T, word string) {
	t.Helper()
	if strings.Contains(r.out+r.errs, word) {
		t.Errorf("%s: prints %s:\n%s\n%s", r.rule, word, r.out, r.errs)
	}
}

func TestBadInputIsNamedAndNothingIsStarted(t *testing.T) {
	t.Parallel()
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const secret = "canary-s3cret"
	noRedis := `worker_token: x
ingestion: {url: http://127.0.0.1:1}
source: {standalone: {url: "http://u:` + secret + `@h:1"}}
data_dir: ` + t.TempDir() + "\n"
	noCheck := "name: p\ncriteria: [{id: a, title: t, why: w, requires: [{check: nonsense}]}]\n"
	for _, tc := range []struct {
		rule string
		want string
		args []string
	}{
		{"an unknown key", "adddr", []string{"serve", "--config", write("c.yaml", "adddr: x\n")}},
		{"a key twice", "twice", []string{"config", "check", write("c.yaml", "addr: x\naddr: y\n")}},
		{"no file to check", "no such file", []string{"config", "check", t.TempDir() + "/none"}},
		{
			"a source that is no Redis URL", "not a redis:// URL",
			[]string{"serve", "--config", write("c.yaml", noRedis)},
		},
		{
			"a plan with an unknown check", "nonsense",
			[]string{"plan", "check", write("p.yaml", noCheck)},
		},
		{"an unknown fault", "quake", []string{"rehearse", "--auto", "--faults", "quake"}},
		{"too few orders", "at least 500", []string{"rehearse", "--auto", "--orders", "5"}},
		{"an unknown command", "fly", []string{"fly"}},
		{"a reset of another folder", "no twin's folder", []string{"reset", "--dir", t.TempDir()}},
		{"nobody who asks", "--user", []string{"status"}},
		{"no password", "set SWITCHYARD_PASSWORD", []string{"status", "--user", "ada"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := run(t.Context(), tc.rule, nil, tc.args...)
			r.want(t, exitUsage, "", tc.want)
			r.hides(t, secret)
		})
	}
}

func TestAConfigurationWithoutMistakesIsTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "switch yard.yaml")
	if err := os.WriteFile(file, []byte(`worker_token: env:TOKEN
ingestion: {url: http://127.0.0.1:1}
source: {standalone: {url: "redis://127.0.0.1:1"}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t.Context(), "a variable that is set", env{"TOKEN": "t"}, "config", "check", file).
		want(t, 0, "has no mistakes", "")
	run(t.Context(), "a variable that is not set", nil, "config", "check", file).
		want(t, exitUsage, "", "worker_token: refers to the environment variable TOKEN")
}
