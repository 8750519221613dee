package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestADraftIsAConfigurationThatLoads(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("canary-s3cret"))
	url := "redis://:canary-s3cret@" + s.Addr()
	for _, key := range []string{"bull:orders:meta", "bull:mail:meta", "other:reports:meta"} {
		s.Client().HSet(t.Context(), key, "version", "bullmq:5.81.3")
	}
	s.Client().HSet(t.Context(), "bull:stock:meta", "version", "bullmq:5.81.3")
	s.Client().ZAdd(t.Context(), "bull:stock:repeat", redis.Z{Score: 1, Member: "count"})
	s.Client().Set(t.Context(), "user:1:name", "x", 0)
	for rule, args := range map[string][]string{
		"a single server": nil,
		"a Sentinel deployment": {"--sentinel", "10.0.0.1:26379,10.0.0.2:26379", "--master", "m1",
			"--app", "https://app.example.com"},
	} {
		dir := filepath.Join(t.TempDir(), "a folder")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"init", "--dir", dir}, args...)
		r := run(t.Context(), rule, env{"SOURCE_REDIS_URL": url}, args...)
		r.want(t, 0, "4 BullMQ queues", "")
		r.hides(t, "canary-s3cret")
		file := filepath.Join(dir, "switchyard.yaml")
		names, err := os.ReadFile(filepath.Join(dir, ".env.example"))
		if err != nil {
			t.Fatal(err)
		}
		vars := env{}
		for _, line := range strings.Split(string(names), "\n") {
			if name, _, is := strings.Cut(line, "="); is {
				vars[name] = "a value"
			}
		}
		vars["SOURCE_REDIS_URL"] = url
		c, err := config.Load(file, func(name string) string { return vars[name] })
		if err != nil {
			t.Fatalf("%s: %v", rule, err)
		}
		if strings.Join(c.Queues, " ") != "mail orders other:reports" || c.WorkerToken != "a value" ||
			len(c.Source.Sentinel.Addrs) != 2*(len(args)/5) {
			t.Errorf("%s: %+v", rule, c)
		}
		run(t.Context(), rule, vars, "config", "check", file).want(t, 0, "no mistakes", "")
		text, err := os.ReadFile(file)
		if !strings.Contains(string(text), `# - "stock" # has a job scheduler`) {
			t.Errorf("%s: stock is to be routed:\n%s", rule, text)
		}
		if err != nil || strings.Contains(string(text), "canary") {
			t.Errorf("%s: %v\n%s", rule, err, text)
		}
		// what is there stays
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t.Context(), rule, env{"SOURCE_REDIS_URL": url}, args...).
			want(t, exitFailed, "", "is there already; nothing was written")
		if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
			t.Errorf("%s: %q, %v", rule, text, err)
		}
	}
	empty := t.TempDir()
	for rule, tc := range map[string]struct {
		url  string
		code int
		says string
	}{
		"no address":       {"", exitUsage, "in SOURCE_REDIS_URL"},
		"nobody there":     {"redis://127.0.0.1:1", exitFailed, "nothing was written"},
		"a wrong password": {"redis://:other@" + s.Addr(), exitFailed, "wrong password"},
		"no Redis URL":     {"http://127.0.0.1:1", exitUsage, "not a redis:// URL"},
	} {
		run(t.Context(), rule, env{"SOURCE_REDIS_URL": tc.url}, "init", "--dir", empty).
			want(t, tc.code, "", tc.says)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestADraftWithoutAnyQueueLoadsToo(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	dir := t.TempDir()
	vars := env{"SOURCE_REDIS_URL": "redis://" + s.Addr(), "WORKER_TOKEN": "a", "INGESTION_TOKEN": "b"}
	run(t.Context(), "empty", vars, "init", "--dir", dir).want(t, 0, "0 BullMQ queues", "")
	run(t.Context(), "empty", vars, "config", "check", filepath.Join(dir, "switchyard.yaml")).
		want(t, 0, "no mistakes", "")
}
