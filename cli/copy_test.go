package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// copyShell runs a command with two URLs in the environment.
func copyShell(t *testing.T, source, target string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{envCopySource: source, envCopyTarget: target}
	code = Run(t.Context(), args, func(k string) string { return env[k] }, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCopyAndCompareFromAShell(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t, redistest.Password("s3cret"), redistest.Config("repl-diskless-sync-delay 0"))
	dst := redistest.Start(t, redistest.TLS(), redistest.Password("t0psecret"))
	redistest.FillRandom(t, src.Client(), 1, 300)
	ca := []string{"--target-ca", dst.CAFile}
	both := func(args ...string) (int, string, string) {
		return copyShell(t, src.URL(), dst.URL(), append(args, ca...)...)
	}

	code, out, errs := both("copy", "--dry-run", "--target-rate", "100")
	if code != 0 || !strings.Contains(out, "300 keys") || !strings.Contains(out, "at least 3s") || dst.Client().DBSize(t.Context()).Val() != 0 {
		t.Fatalf("dry run: %d %s %s", code, out, errs)
	}
	if code, out, errs = both("compare"); code != exitFailed || !strings.Contains(out, "300 missing") {
		t.Errorf("compare before the copy: %d %s %s", code, out, errs)
	}
	if code, out, errs = both("copy", "--compare"); code != 0 || !strings.Contains(out, "300 keys") || !strings.Contains(out, "by stream") || !strings.Contains(out, "0 missing on the target, 0 there alone") {
		t.Fatalf("copy: %d %s %s", code, out, errs)
	}
	if code, out, errs = both("copy"); code != exitFailed || !strings.Contains(errs, "holds 300 keys") {
		t.Errorf("copy onto keys: %d %s %s", code, out, errs)
	}
	if code, out, errs = both("copy", "--dry-run"); code != exitFailed || !strings.Contains(out, "REFUSED") {
		t.Errorf("dry run onto keys: %d %s %s", code, out, errs)
	}
	code, out, errs = both("copy", "--overwrite", "--path", "scan", "--json", "--max-latency", "1s")
	var r keycopy.Report
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || r.Keys != 300 || r.Path != keycopy.Scan {
		t.Errorf("copy as JSON: %d %s %s %v", code, out, errs, err)
	}
	dst.Client().Set(t.Context(), "more", "v", 0)
	if code, out, errs = both("compare"); code != exitFailed || !strings.Contains(out, "extra  \"more\"") || !strings.Contains(errs, "differ in 1 keys") {
		t.Errorf("compare: %d %s %s", code, out, errs)
	}
}

func TestAnInterruptedCopyIsNoSuccess(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := map[string]string{envCopySource: src.URL(), envCopyTarget: dst.URL()}
	for _, command := range []string{"copy", "compare"} {
		var out, errs bytes.Buffer
		if code := Run(ctx, []string{command}, func(k string) string { return env[k] }, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%s: exit %d, %s", command, code, errs.String())
		}
	}
}

func TestCopyNeverPrintsAPassword(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t, redistest.Password("s3cret"))
	for rule, c := range map[string]struct {
		source, target string
		code           int
	}{
		"not a URL":       {"redis://:hush@host:port", src.URL(), exitUsage},
		"bad escape":      {"redis://:hush%zz@host:1", src.URL(), exitUsage},
		"none":            {"", src.URL(), exitUsage},
		"nobody there":    {src.URL(), "redis://:hush@127.0.0.1:1", exitFailed},
		"wrong password":  {src.URL(), "redis://:hush@" + src.Addr(), exitFailed},
		"the same server": {src.URL(), src.URL(), exitFailed},
	} {
		code, out, errs := copyShell(t, c.source, c.target, "copy")
		if all := out + errs; code != c.code || strings.Contains(all, "hush") || strings.Contains(all, "s3cret") || errs == "" {
			t.Errorf("%s: exit %d, %s", rule, code, all)
		}
	}
}
