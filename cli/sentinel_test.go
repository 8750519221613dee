package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestSentinelGenerateWritesEverythingAndPrintsNoPassword(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	generate := func(rule string, args ...string) result {
		return run(t.Context(), rule, nil, append([]string{
			"sentinel", "generate", "--out", dir,
			"--host", "a=192.0.2.1,rack-1,master+sentinel",
			"--host", "b=192.0.2.2,rack-2,replica+sentinel",
			"--host", "c=192.0.2.3,rack-3,sentinel",
		}, args...)...)
	}
	generate("one replica").want(t, exitUsage, "", "say what matters more")
	generate("a bad host", "--host", "d=192.0.2.4").
		want(t, exitUsage, "", "--host d=192.0.2.4: expected NAME=ADDRESS,ZONE,ROLES")
	r := generate("a decision", "--prefer", "writes")
	r.want(t, 0, "Replicas: 1, min-replicas-to-write 0, quorum 2 of 3", "")
	secrets, err := os.ReadFile(filepath.Join(dir, "secrets.env"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(secrets)) {
		if _, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			n++
			r.hides(t, v)
		}
	}
	if n != 4 {
		t.Errorf("%d passwords, want 4", n)
	}
	for _, f := range []string{
		"secrets.env", "hosts/a/redis.conf", "hosts/c/sentinel.conf", "kubernetes/secret.yaml",
		"tls/b/redis.key",
	} {
		if i, err := os.Stat(filepath.Join(dir, f)); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, i, err)
		}
	}
	generate("a second time", "--prefer", "writes").want(t, exitUsage, "", "is not empty")
}

func TestSentinelCheckFailsWhenSomethingIsNotReady(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 1,
		redistest.Password("data"), redistest.SentinelPassword("watch"))
	addrs := strings.Join(d.Endpoint().SentinelAddrs, ",")
	vars := env{
		envSentinel:         "redis+sentinel://:data@" + addrs + "/" + redistest.MasterName,
		envSentinelPassword: "watch",
	}
	run(t.Context(), "ready", vars, "sentinel", "check").want(t, 0, "ok", "")
	replica := d.Nodes[1].Client()
	if err := replica.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	r := run(t.Context(), "a replica that evicts", vars, "sentinel", "check")
	r.want(t, exitFailed, "FAIL", "checks failed")
	r.want(t, exitFailed, "allkeys-lru", "")
}
