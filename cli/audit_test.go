package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestAuditFromAShellSaysHowBadItIs(t *testing.T) {
	t.Parallel()
	audited := func(rule string, s *redistest.Server, args ...string) result {
		vars := env{envAudit: s.URL()}
		return run(t.Context(), rule, vars, append([]string{"audit"}, args...)...)
	}
	bad := redistest.Start(t, redistest.Password("s3cret"),
		redistest.Config("maxmemory-policy allkeys-lru", "appendonly yes"))
	const evicts = "CRITICAL  eviction-policy"
	for _, c := range []struct {
		rule string
		args []string
		code int
		out  string
		errs string
	}{
		{
			"a critical problem fails", []string{"--fail-on", "critical"},
			exitFailed, evicts, "1 problem of severity critical or worse",
		},
		{"by default high ones too", nil, exitFailed, "HIGH      version", "high or worse"},
		{
			"Markdown", []string{"--format", "markdown"},
			exitFailed, "| CRITICAL | Eviction policy |", "high or worse",
		},
		{
			"HTML", []string{"--format", "html"},
			exitFailed, "<td class=\"critical\">CRITICAL</td>", "high or worse",
		},
		{"without looking at keys", []string{"--no-scan"}, exitFailed, evicts, "high or worse"},
		{"with a census", []string{"--census"}, exitFailed, "0 in 0 queues", "high or worse"},
		{"a census looks at keys", []string{"--census", "--no-scan"}, exitUsage, "", "every key"},
		{"a share is a share", []string{"--share", "2"}, exitUsage, "", "above 0 and at most 1"},
		{"an unknown severity", []string{"--fail-on", "low"}, exitUsage, "", "--fail-on"},
		{"an unknown format", []string{"--format", "pdf"}, exitUsage, "", "--format"},
	} {
		r := audited(c.rule, bad, c.args...)
		r.want(t, c.code, c.out, c.errs)
		r.hides(t, "s3cret")
		if slices.Contains(c.args, "--no-scan") && strings.Contains(r.out, "queue-ttl") {
			t.Errorf("%s: keys were looked at", c.rule)
		}
	}
	sound := redistest.Config("appendonly yes", "maxmemory 100mb")
	secure := redistest.Start(t, redistest.TLS(), redistest.Password("t0psecret"), sound)
	r := audited("TLS", secure,
		"--ca", secure.CAFile, "--format", "json", "--fail-on", "critical")
	r.hides(t, "t0psecret")
	var reports []audit.Report
	if err := json.Unmarshal([]byte(r.out), &reports); err != nil || len(reports) != 1 {
		t.Fatalf("%v: %s", err, r.out)
	}
	// The test's certificate is valid for an hour.
	if f, _ := reports[0].Finding("certificate"); r.code != exitFailed || f.State != audit.Problem {
		t.Errorf("exit %d: %+v %s", r.code, f, r.errs)
	}
	plain := redistest.Start(t, redistest.Password("s3cret"), sound)
	r = audited("nothing critical", plain, "--fail-on", "critical")
	r.want(t, 0, "", "")
	if r.errs != "" {
		t.Errorf("a good audit complains: %s", r.errs)
	}
	audited("nothing known to be critical", plain, "--fail-on", "critical", "--strict").
		want(t, exitFailed, "", "or worse unknown")
}

func TestAuditNeverPrintsAPassword(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("s3cret"))
	for _, c := range []struct {
		rule string
		url  string
		code int
	}{
		{"not a URL", "redis://:hush@host:port", exitUsage},
		{"bad escape", "redis://:hush%zz@host:1", exitUsage},
		{"none", "", exitUsage},
		{"nobody there", "redis://:hush@127.0.0.1:1", exitFailed},
		{"wrong password", "redis://:hush@" + s.Addr(), exitFailed},
	} {
		r := run(t.Context(), c.rule, env{envAudit: c.url}, "audit")
		r.want(t, c.code, "", "switchyard: ")
		r.hides(t, "hush")
		r.hides(t, "s3cret")
		if r.out != "" {
			t.Errorf("%s: prints %s", c.rule, r.out)
		}
	}
}
