package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/audit"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func auditShell(t *testing.T, url string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), append([]string{"audit"}, args...), func(k string) string { return map[string]string{envAudit: url}[k] }, &out, &errs)
	return code, out.String(), errs.String()
}

func TestAuditFromAShellSaysHowBadItIs(t *testing.T) {
	t.Parallel()
	bad := redistest.Start(t, redistest.Password("s3cret"), redistest.Config("maxmemory-policy allkeys-lru", "appendonly yes"))
	for rule, c := range map[string]struct {
		args []string
		code int
		out  string
		errs string
	}{
		"a critical problem fails":        {[]string{"--fail-on", "critical"}, exitFailed, "CRITICAL  eviction-policy", "1 problems of severity critical or worse"},
		"by default high ones too":        {nil, exitFailed, "HIGH      version", "of severity high or worse"},
		"Markdown":                        {[]string{"--format", "markdown"}, exitFailed, "| CRITICAL | Eviction policy |", "high or worse"},
		"HTML":                            {[]string{"--format", "html"}, exitFailed, "<td class=\"critical\">CRITICAL</td>", "high or worse"},
		"without looking at keys":         {[]string{"--no-scan"}, exitFailed, "eviction-policy", "high or worse"},
		"with a census":                   {[]string{"--census"}, exitFailed, "0 in 0 queues", "high or worse"},
		"a census looks at keys":          {[]string{"--census", "--no-scan"}, exitUsage, "", "looks at every key"},
		"a share is a share":              {[]string{"--share", "2"}, exitUsage, "", "above 0 and at most 1"},
		"only three severities fail":      {[]string{"--fail-on", "low"}, exitUsage, "", "--fail-on"},
		"only the four formats are there": {[]string{"--format", "pdf"}, exitUsage, "", "--format"},
	} {
		code, out, errs := auditShell(t, bad.URL(), c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: exit %d\n%s\n%s", rule, code, out, errs)
		}
		if strings.Contains(out+errs, "s3cret") {
			t.Errorf("%s: the password is printed", rule)
		}
		if strings.Contains(strings.Join(c.args, ""), "no-scan") && strings.Contains(out, "queue-ttl") {
			t.Errorf("%s: keys were looked at", rule)
		}
	}
	good := redistest.Start(t, redistest.TLS(), redistest.Password("t0psecret"), redistest.Config("appendonly yes", "maxmemory 100mb"))
	code, out, errs := auditShell(t, good.URL(), "--ca", good.CAFile, "--format", "json", "--fail-on", "critical")
	var reports []audit.Report
	if err := json.Unmarshal([]byte(out), &reports); err != nil || len(reports) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if f, _ := reports[0].Finding("certificate"); code != exitFailed || f.State != audit.Problem || strings.Contains(out+errs, "t0psecret") { // it lasts an hour
		t.Errorf("exit %d: %+v %s", code, f, errs)
	}
	plain := redistest.Start(t, redistest.Password("s3cret"), redistest.Config("appendonly yes", "maxmemory 100mb"))
	if code, out, errs := auditShell(t, plain.URL(), "--fail-on", "critical"); code != 0 || errs != "" {
		t.Errorf("exit %d: %s\n%s", code, errs, out)
	}
	if code, out, errs := auditShell(t, plain.URL(), "--fail-on", "critical", "--strict"); code != exitFailed || !strings.Contains(errs, "are not known") {
		t.Errorf("strict: exit %d: %s\n%s", code, errs, out)
	}
}

func TestAuditNeverPrintsAPassword(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("s3cret"))
	for rule, c := range map[string]struct {
		url  string
		code int
	}{
		"not a URL":      {"redis://:hush@host:port", exitUsage},
		"bad escape":     {"redis://:hush%zz@host:1", exitUsage},
		"none":           {"", exitUsage},
		"nobody there":   {"redis://:hush@127.0.0.1:1", exitFailed},
		"wrong password": {"redis://:hush@" + s.Addr(), exitFailed},
	} {
		code, out, errs := auditShell(t, c.url)
		if all := out + errs; code != c.code || strings.Contains(all, "hush") || strings.Contains(all, "s3cret") || errs == "" || out != "" {
			t.Errorf("%s: exit %d, %s", rule, code, all)
		}
	}
}
