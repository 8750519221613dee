package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
	for _, tc := range []struct {
		rule string
		args []string
		want string
	}{
		{"an unknown configuration key", []string{"serve", "--config", write("c.yaml", "adddr: x\n")}, "adddr"},
		{"a source that is no Redis URL", []string{"serve", "--config", write("c.yaml", "worker_token: x\ningestion: {url: http://127.0.0.1:1}\nsource: {standalone: {url: \"http://u:"+secret+"@h:1\"}}\ndata_dir: "+t.TempDir()+"\n")}, "not a redis:// URL"},
		{"a plan with an unknown check", []string{"plan", "check", write("p.yaml", "name: p\ncriteria: [{id: a, title: t, why: w, requires: [{check: nonsense}]}]\n")}, "nonsense"},
		{"an unknown fault", []string{"rehearse", "--auto", "--faults", "earthquake"}, "earthquake"},
		{"too few orders", []string{"rehearse", "--auto", "--orders", "5"}, "at least 500"},
		{"an unknown command", []string{"fly"}, "fly"},
		{"a reset of a folder that is no twin's", []string{"reset", "--dir", t.TempDir()}, "no twin's folder"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := Run(t.Context(), tc.args, func(string) string { return "" }, &out, &errs)
			if code != exitUsage {
				t.Errorf("exit code %d, not %d", code, exitUsage)
			}
			if !strings.Contains(errs.String(), tc.want) {
				t.Errorf("says %q, which does not name %q", errs.String(), tc.want)
			}
			if strings.Contains(errs.String(), secret) {
				t.Errorf("a secret is printed: %s", errs.String())
			}
		})
	}
}
