package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestSentinelGenerateWritesEverythingAndPrintsNoPassword(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	args := []string{"sentinel", "generate", "--out", dir, "--host", "a=192.0.2.1,rack-1,master+sentinel", "--host", "b=192.0.2.2,rack-2,replica+sentinel", "--host", "c=192.0.2.3,rack-3,sentinel"}
	var out, errs bytes.Buffer
	none := func(string) string { return "" }
	if code := Run(t.Context(), args, none, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "say what to give up") {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	args = append(args, "--prefer", "writes")
	if code := Run(t.Context(), args, none, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	secrets, err := os.ReadFile(filepath.Join(dir, "secrets.env"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(secrets)) {
		if _, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			n++
			if strings.Contains(out.String(), v) {
				t.Error("a password was printed")
			}
		}
	}
	for _, f := range []string{"secrets.env", "hosts/a/redis.conf", "hosts/c/sentinel.conf", "kubernetes/secret.yaml", "tls/b/redis.key"} {
		if i, err := os.Stat(filepath.Join(dir, f)); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, i, err)
		}
	}
	if n != 4 || !strings.Contains(out.String(), "Replicas: 1, min-replicas-to-write 0, quorum 2 of 3") {
		t.Errorf("%d passwords; printed %s", n, &out)
	}
	if code := Run(t.Context(), args, none, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "is not empty") {
		t.Errorf("written over: exit %d: %s", code, &errs)
	}
}

func TestSentinelCheckFailsWhenSomethingIsNotReady(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 1, redistest.Password("data"), redistest.SentinelPassword("watch"))
	env := func(name string) string {
		return map[string]string{envSentinel: "redis+sentinel://:data@" + strings.Join(d.Endpoint().SentinelAddrs, ",") + "/" + redistest.MasterName, envSentinelPassword: "watch"}[name]
	}
	var out, errs bytes.Buffer
	if code := Run(t.Context(), []string{"sentinel", "check"}, env, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s%s", code, &out, &errs)
	}
	if err := d.Nodes[1].Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := Run(t.Context(), []string{"sentinel", "check"}, env, &out, &errs); code != exitFailed || !strings.Contains(out.String(), "FAIL") || !strings.Contains(out.String(), "allkeys-lru") {
		t.Errorf("exit %d: %s%s", code, &out, &errs)
	}
}
