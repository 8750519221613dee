package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func run(t *testing.T, c redis.UniversalClient, o Options) Report {
	t.Helper()
	r, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t *testing.T, r Report, id string) Finding {
	t.Helper()
	f, ok := r.Finding(id)
	if !ok {
		t.Fatalf("no finding %s", id)
	}
	return f
}

func do(t *testing.T, c redis.UniversalClient, args ...any) {
	t.Helper()
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// queue makes one waiting job of a queue, stored as BullMQ does.
func queue(t *testing.T, c redis.UniversalClient, prefix, data string) {
	t.Helper()
	do(t, c, "HSET", prefix+":q:meta", "version", "bullmq:6.7.0")
	do(t, c, "HSET", prefix+":q:1", "name", "n", "data", data, "opts", "{}",
		"timestamp", "1")
	do(t, c, "LPUSH", prefix+":q:wait", "1")
}

// wellConfigured configures a server as the catalogue demands, except for its
// version, which is the machine's.
var wellConfigured = []string{"maxmemory 200mb", "maxmemory-policy noeviction",
	"appendonly yes", "appendfsync everysec", "latency-monitor-threshold 100",
	"repl-backlog-size 64mb", "repl-diskless-sync-delay 0"}

func TestAWellConfiguredServerHasNoProblem(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("s3cret"), redistest.Config(wellConfigured...))
	replica := redistest.Start(t, redistest.Password("s3cret"), redistest.Config(
		append(slices.Clone(wellConfigured), fmt.Sprintf("replicaof 127.0.0.1 %d", s.Port))...))
	c := s.Client()
	queue(t, c, "bull", `{"order":1}`)
	redistest.Eventually(t, 20*time.Second, func() error {
		if text := c.Info(t.Context(), "replication").Val(); !strings.Contains(text,
			"state=online") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	survey, err := bullmq.TakeSurvey(t.Context(), c, bullmq.SurveyOptions{Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	root := kernelFiles(t, s, "1", "always [madvise] never")
	r := run(t, c, Options{Share: 1, Census: &survey, kernel: root})
	for _, f := range r.Findings {
		if f.State != OK && f.ID != "version" {
			t.Errorf("%s: %s, %s", f.ID, f.State, f.Measured)
		}
	}
	if len(r.Findings) != len(Catalogue()) || !r.Settings || r.Role != "master" ||
		r.Address != s.Addr() {
		t.Errorf("%d of %d checks, %+v", len(r.Findings), len(Catalogue()), r.Address)
	}
	r = run(t, replica.Client(),
		Options{Share: 1, Census: &survey, kernel: kernelFiles(t, replica, "1", "[never]")})
	for _, f := range r.Findings {
		if f.State != OK && f.ID != "version" {
			t.Errorf("replica: %s: %s, %s", f.ID, f.State, f.Measured)
		}
	}
}

// kernelFiles creates the files that machine reads, as if the server ran on a
// machine with these settings.
func kernelFiles(t *testing.T, s *redistest.Server, overcommit, hugePages string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{fmt.Sprintf("proc/%d/cmdline",
		s.Pid()): fmt.Sprintf("redis-server 127.0.0.1:%d", s.Port),
		"proc/sys/vm/overcommit_memory":              overcommit + "\n",
		"sys/kernel/mm/transparent_hugepage/enabled": hugePages + "\n"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestWhatADeniedServerDoesNotTellIsNeverTakenForWell(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"renamed commands": {`rename-command CONFIG ""`, `rename-command SLOWLOG ""`,
			`rename-command LATENCY ""`, `rename-command ACL ""`},
		"a small user": {"appendonly yes",
			"user small on >pw ~* &* +@all -config -slowlog -latency -acl -client|list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Config(append(options,
				"maxmemory-policy volatile-lru", "timeout 60")...))
			var c redis.UniversalClient = s.Client()
			if name == "a small user" {
				c = redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "small",
					Password: "pw", DisableIdentity: true})
				t.Cleanup(func() { _ = c.Close() })
			}
			r := run(t, c, Options{Share: 1})
			if f := find(t, r, "eviction-policy"); f.State != Problem ||
				!strings.Contains(f.Measured, "INFO memory") || f.Fix != nil {
				t.Errorf("%+v", f)
			}
			if f := find(t, r, "default-user"); f.State != Problem {
				t.Errorf("a stranger is let in: %+v", f)
			}
			for _, id := range []string{"timeout", "min-replicas", "output-buffers",
				"slow-scripts", "tcp-keepalive", "slowlog", "latency-monitor", "exposure",
				"tls", "users", "persistence", "empty-jobs", "maxmemory", "memory-headroom",
				"latency"} {
				if f := find(t, r, id); f.State != Unknown || f.Measured == "" {
					t.Errorf("%s: %s, %s", id, f.State, f.Measured)
				}
			}
			if r.Settings {
				t.Error("the settings are said to be readable")
			}
		})
	}
}

func TestReportsAreOrderedAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, config("maxmemory-policy allkeys-lru", "timeout 60")...)
	r := run(t, s.Client(), Options{Share: 1})
	rank := map[State]int{Problem: 0, Unknown: 1, OK: 2}
	for i := 1; i < len(r.Findings); i++ {
		a, b := r.Findings[i-1], r.Findings[i]
		if rank[a.State] > rank[b.State] ||
			a.State == b.State && !a.Severity.AtLeast(b.Severity) {
			t.Errorf("%s (%s, %s) before %s (%s, %s)", a.ID, a.State, a.Severity, b.ID,
				b.State, b.Severity)
		}
	}
	ids := func(r Report) (out []string) {
		for _, f := range r.Findings {
			out = append(out, f.ID)
		}
		return out
	}
	if again := ids(run(t, s.Client(), Options{Share: 1})); !slices.Equal(ids(r), again) {
		t.Errorf("%v\n%v", ids(r), again)
	}
	for i, c := range catalogue {
		if c.ID == "" || c.Title == "" || c.Limit == "" || c.Why == "" || c.Remedy == "" ||
			len(c.Commands) == 0 || c.Denied == "" || !slices.Contains(Severities, c.Severity) {
			t.Errorf("entry %d is not complete: %+v", i, c)
		}
	}
}
