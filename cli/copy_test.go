package cli

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestCopyAndCompareFromAShell(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t, redistest.Password("s3cret"),
		redistest.Config("repl-diskless-sync-delay 0"))
	dst := redistest.Start(t, redistest.TLS(), redistest.Password("t0psecret"))
	redistest.FillRandom(t, src.Client(), 1, 300)
	urls := env{envCopySource: src.URL(), envCopyTarget: dst.URL()}
	both := func(rule string, args ...string) result {
		return run(t.Context(), rule, urls, append(args, "--target-ca", dst.CAFile)...)
	}

	dry := both("a dry run", "copy", "--dry-run", "--target-rate", "100")
	dry.want(t, 0, "300 keys", "")
	dry.want(t, 0, "at least 3 s", "")
	if n := dst.Client().DBSize(t.Context()).Val(); n != 0 {
		t.Fatalf("a dry run copied %d keys", n)
	}
	both("compare before", "compare").want(t, exitFailed, "300 missing", "differ in 300 keys")
	r := both("a copy", "copy", "--compare")
	r.want(t, 0, "300 keys", "")
	r.want(t, 0, "by stream", "")
	r.want(t, 0, "0 missing on the target, 0 only there", "")
	both("onto keys", "copy").want(t, exitFailed, "", "holds 300 keys")
	both("onto keys, dry", "copy", "--dry-run").want(t, exitFailed, "REFUSED", "1 reason")
	r = both("as JSON",
		"copy", "--overwrite", "--path", "scan", "--json", "--max-latency", "1s")
	var report keycopy.Report
	err := json.Unmarshal([]byte(r.out), &report)
	if r.code != 0 || err != nil || report.Keys != 300 || report.Path != keycopy.Scan {
		t.Errorf("copy as JSON: %+v %v", r, err)
	}
	dst.Client().Set(t.Context(), "more", "v", 0)
	both("one more", "compare").want(t, exitFailed, "extra  \"more\"", "differ in 1 key")
}

func TestAnInterruptedCopyIsNoSuccess(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	urls := env{envCopySource: src.URL(), envCopyTarget: dst.URL()}
	for _, command := range []string{"copy", "compare"} {
		run(ctx, command, urls, command).want(t, exitFailed, "", "interrupted")
	}
}

func TestCopyNeverPrintsAPassword(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t, redistest.Password("s3cret"))
	for _, c := range []struct {
		rule           string
		source, target string
		code           int
	}{
		{"not a URL", "redis://:hush@host:port", src.URL(), exitUsage},
		{"bad escape", "redis://:hush%zz@host:1", src.URL(), exitUsage},
		{"none", "", src.URL(), exitUsage},
		{"nobody there", src.URL(), "redis://:hush@127.0.0.1:1", exitFailed},
		{"wrong password", src.URL(), "redis://:hush@" + src.Addr(), exitFailed},
		{"the same server", src.URL(), src.URL(), exitFailed},
	} {
		urls := env{envCopySource: c.source, envCopyTarget: c.target}
		r := run(t.Context(), c.rule, urls, "copy")
		r.want(t, c.code, "", "switchyard: ")
		r.hides(t, "hush")
		r.hides(t, "s3cret")
	}
}
