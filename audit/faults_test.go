package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestFaultsAreFoundAndExplainedAndGoWhenPutRight(t *testing.T) {
	t.Parallel()
	everywhere := "bind 0.0.0.0"
	for _, c := range []struct {
		check    string
		fault    string
		options  []redistest.Option
		prepare  func(t *testing.T, s *redistest.Server, c redis.UniversalClient)
		severity Severity
		says     string
		fix      bool                                                // Switchyard can fix it
		cure     func(t *testing.T, c redis.UniversalClient)         // by hand
		audit    func(t *testing.T, s *redistest.Server, o *Options) // further options
	}{
		{check: "eviction-policy", fault: "allkeys-lru",
			options: config("maxmemory-policy allkeys-lru"), severity: Critical,
			says: "allkeys-lru", fix: true},
		{check: "eviction-policy", fault: "volatile-ttl",
			options: config("maxmemory-policy volatile-ttl"), severity: Critical,
			says: "volatile-ttl", fix: true},
		{check: "evicted-keys", fault: "a full cache",
			options: config("maxmemory-policy allkeys-random"), severity: Critical,
			says: "keys evicted since it started",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				for i := range 100 {
					do(t, c, "SET", fmt.Sprint("k", i), "v")
				}
				do(t, c, "CONFIG", "SET", "maxmemory", "1")
				do(t, c, "CONFIG", "SET", "maxmemory", "0")
			},
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "RESETSTAT")
			}},
		{check: "memory-headroom", fault: "nearly full", severity: Critical, says: "used, 9",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				fillTo(t, c, 93)
			},
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "maxmemory", "1gb")
			}},
		{check: "memory-headroom", fault: "getting full", severity: High, says: "used, 8",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				fillTo(t, c, 85)
			}},
		{check: "persistence", fault: "none", severity: Critical, says: "neither",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "appendonly", "yes")
			}},
		{check: "persistence", fault: "snapshots alone", options: config("save 3600 1"),
			severity: Medium, says: "snapshots only"},
		{check: "persistence", fault: "never synced", options: config("appendonly yes",
			"appendfsync no"), severity: Medium, says: "appendfsync no",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "appendfsync", "everysec")
			}},
		{check: "persistence-status", fault: "a snapshot failed",
			options: config("enable-protected-configs yes"), severity: Critical,
			says: "the last snapshot failed",
			prepare: func(t *testing.T, s *redistest.Server, c redis.UniversalClient) {
				// a snapshot cannot replace a directory
				if err := os.Mkdir(filepath.Join(s.Dir, "busy.rdb"), 0o700); err != nil {
					t.Fatal(err)
				}
				do(t, c, "CONFIG", "SET", "dbfilename", "busy.rdb")
				do(t, c, "BGSAVE")
				redistest.Eventually(t, 20*time.Second, func() error {
					if text := c.Info(t.Context(), "persistence").Val(); !strings.Contains(text,
						"rdb_last_bgsave_status:err") {
						return fmt.Errorf("%s", text)
					}
					return nil
				})
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "dbfilename", "dump.rdb")
				do(t, c, "SAVE")
			}},
		{check: "role", fault: "a replica without its master",
			options: config("replicaof 127.0.0.1 1"), severity: Critical,
			says: "the link is down",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "REPLICAOF", "NO", "ONE")
			}},
		{check: "min-replicas", fault: "more than there are",
			options: config("min-replicas-to-write 1"), severity: Critical,
			says: "every add is refused",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "min-replicas-to-write", "0")
			}},
		{check: "min-replicas", fault: "fenced", severity: Critical, says: "it accepts no writes",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				if _, err := redisconn.Fence(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}},
		{check: "cluster", fault: "no braces", options: config("cluster-enabled yes"),
			severity: Critical, says: "not every queue's prefix"},
		{check: "default-user", fault: "open, to all networks", options: config(everywhere,
			"protected-mode no"), severity: Critical, says: "accepted",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "ACL", "SETUSER", "default", "resetpass", ">later")
			}},
		{check: "default-user", fault: "open to the machine", severity: Medium,
			says: "any program on the machine"},
		{check: "users", fault: "one without a password",
			options: config("user helper on nopass ~* +@all"), severity: Critical,
			says: "helper",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "ACL", "SETUSER", "helper", "off")
			}},
		{check: "big-keys", fault: "a big string", severity: Medium, says: "takes 96 MiB",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "SETRANGE", "dump", bigKey, "x")
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "UNLINK", "dump")
			}},
		{check: "exposure", fault: "open to all networks", options: config(everywhere,
			"protected-mode no"), severity: Critical, says: "whoever reaches it owns it"},
		{check: "exposure", fault: "a password on all networks",
			options: append(config(everywhere, "protected-mode no"),
				redistest.Password("s3cret")), severity: Medium, says: "only a firewall",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "bind", "127.0.0.1")
			}},
		{check: "tls", fault: "in the clear", options: config(everywhere), severity: High,
			says: "none on port"},
		{check: "tls", fault: "both", options: []redistest.Option{redistest.TLS(),
			redistest.Config(everywhere)}, severity: Medium, says: "also listens in the clear",
			prepare: func(t *testing.T, s *redistest.Server, c redis.UniversalClient) {
				openPlainPort(t, c)
			},
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "port", "0")
			}},
		{check: "certificate", fault: "ends within the hour",
			options: []redistest.Option{redistest.TLS()}, severity: Critical,
			says: "expires in 0 days"},
		{check: "maxmemory", fault: "none", severity: Medium, says: "no limit",
			cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "maxmemory", "100mb")
			}},
		{check: "maxmemory", fault: "more than the machine has",
			options: config("maxmemory 100000gb"), severity: High,
			says: "more than the machine's"},
		{check: "replication", fault: "none", severity: Medium, says: "none"},
		{check: "timeout", fault: "5 minutes", options: config("timeout 300"), severity: High,
			says: "300 s", fix: true},
		{check: "rejected-connections", fault: "too many", options: config("maxclients 10"),
			severity: High, says: "connections refused",
			prepare: func(t *testing.T, s *redistest.Server, c redis.UniversalClient) {
				redistest.Eventually(t, 20*time.Second, func() error {
					if text := c.Info(t.Context(), "stats").Val(); strings.Contains(text,
						"rejected_connections:0") {
						return s.Foreign("app").Ping(t.Context()).Err()
					}
					return nil
				})
				redistest.Eventually(t, 20*time.Second, func() error {
					if c.Info(t.Context(), "stats").Val() == "" {
						return errors.New("no answer")
					}
					for range 12 {
						_ = s.Foreign("app").Ping(t.Context()).Err()
					}
					if text := c.Info(t.Context(), "stats").Val(); strings.Contains(text,
						"rejected_connections:0") {
						return errors.New("none refused yet")
					}
					return nil
				})
			}},
		{check: "client-limit", fault: "nearly full", options: config("maxclients 20"),
			severity: High, says: "of 20",
			prepare: func(t *testing.T, s *redistest.Server, _ redis.UniversalClient) {
				for range 16 {
					if err := s.Foreign("app").Ping(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "maxclients", "100")
			}},
		{check: "errors", fault: "a full server", severity: High, says: "OOM 1 times",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "maxmemory", "1")
				if c.Set(t.Context(), "k", "v", 0).Err() == nil {
					t.Fatal("a full server took a write")
				}
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "RESETSTAT")
			}},
		{check: "dangerous-commands", fault: "FLUSHALL", severity: High,
			says: "FLUSHALL 1 times",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "FLUSHALL")
			}},
		{check: "dangerous-commands", fault: "KEYS", severity: Medium, says: "KEYS 1 times",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "KEYS", "x")
			}},
		{check: "queue-ttl", fault: "a job that expires", severity: Critical,
			says: "1 of 3 keys",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				do(t, c, "EXPIRE", "bull:q:1", "3600")
				do(t, c, "SET", "bull:q:1:lock", "token", "PX", "30000")
				do(t, c, "SET", "bull:q:stalled-check", "1", "PX", "30000")
				do(t, c, "SET", "bull:q:limiter", "1", "PX", "30000")
				do(t, c, "SET", "bull:q:de:once", "1", "PX", "30000")
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "PERSIST", "bull:q:1")
			}},
		{check: "large-jobs", fault: "large", severity: Medium, says: "1 of 1 jobs",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", strings.Repeat("x", 200_000))
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "HSET", "bull:q:1", "data", "{}")
			}},
		{check: "large-jobs", fault: "huge", severity: High, says: "5 MiB",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", strings.Repeat("x", hugeData))
			}},
		{check: "growth", fault: "never removed", severity: Medium,
			says: "100000 finished jobs",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				for first := 1; first < 100_000; first += 10_000 { // each within a client's patience
					do(t, c, "EVAL", "for i = ARGV[1], ARGV[1] + 9999 do "+
						"redis.call('zadd', KEYS[1], i, i) end return 1", 1, "bull:q:completed", first)
				}
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "DEL", "bull:q:completed")
			}},
		{check: "foreign-keys", fault: "a cache", severity: Medium,
			says: "2 of 4 keys belong to no queue",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				do(t, c, "DEL", "bull:q:wait")
				do(t, c, "SET", "page:1", "html", "EX", "600")
				do(t, c, "SET", "page:2", "html", "EX", "600")
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "DEL", "page:1", "page:2")
			}},
		{check: "empty-jobs", fault: "an id without its hash", severity: Critical,
			says: "1 ids without a job",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				do(t, c, "DEL", "bull:q:1")
			}, audit: census, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "DEL", "bull:q:wait")
			}},
		{check: "orphans", fault: "a hash in no list", severity: High,
			says: "1 jobs in no list",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				do(t, c, "DEL", "bull:q:wait")
			}, audit: census, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "DEL", "bull:q:1")
			}},
		{check: "stuck", fault: "a rate limit without end", severity: High, says: "1 stopped",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				queue(t, c, "bull", "{}")
				do(t, c, "SET", "bull:q:limiter", "9")
			}, audit: census, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "DEL", "bull:q:limiter")
			}},
		{check: "slow-scripts", fault: "a long script", severity: Medium, says: "(EVAL)",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "EVAL", "local s = redis.call('time'); repeat local n = "+
					"redis.call('time') until (n[1]-s[1])*1000000+(n[2]-s[2]) > 60000 return 1",
					0)
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "SLOWLOG", "RESET")
			}},
		{check: "latency", fault: "half a second",
			options: config("latency-monitor-threshold 100"), severity: Medium,
			says: "command took",
			prepare: func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				do(t, c, "EVAL", "local s = redis.call('time'); repeat local n = "+
					"redis.call('time') until (n[1]-s[1])*1000000+(n[2]-s[2]) > 510000 return 1", 0)
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "LATENCY", "RESET")
			}},
		{check: "output-buffers", fault: "normal clients are cut off",
			options: config("client-output-buffer-limit normal 1mb 512kb 10"), severity: Medium,
			says: "normal clients", fix: true},
		{check: "output-buffers", fault: "replicas are cut off",
			options: config("client-output-buffer-limit replica 16mb 8mb 10"), severity: Medium,
			says: "replicas", fix: true},
		{check: "tcp-keepalive", fault: "off", options: config("tcp-keepalive 0"),
			severity: Low, says: "off", fix: true},
		{check: "repl-backlog", fault: "small", options: config("repl-diskless-sync-delay 0"),
			severity: Low, says: "1 MiB",
			prepare: func(t *testing.T, s *redistest.Server, c redis.UniversalClient) {
				redistest.Start(t,
					redistest.Config(fmt.Sprintf("replicaof 127.0.0.1 %d", s.Port)))
				redistest.Eventually(t, 20*time.Second, func() error {
					if text := c.Info(t.Context(), "replication").Val(); !strings.Contains(text,
						"connected_slaves:1") {
						return fmt.Errorf("%s", text)
					}
					return nil
				})
			}, cure: func(t *testing.T, c redis.UniversalClient) {
				do(t, c, "CONFIG", "SET", "repl-backlog-size", "64mb")
			}},
		{check: "other-databases", fault: "3 is used", severity: Low, says: "3 holds 1 keys",
			prepare: func(t *testing.T, s *redistest.Server, _ redis.UniversalClient) {
				c := redis.NewClient(&redis.Options{Addr: s.Addr(), DB: 3})
				defer c.Close()
				do(t, c, "SET", "k", "v")
			}},
		{check: "slowlog", fault: "off", options: config("slowlog-log-slower-than -1"),
			severity: Low, says: "off", fix: true},
		{check: "latency-monitor", fault: "off", severity: Info, says: "off", fix: true},
		{check: "overcommit", fault: "0", severity: Medium, says: "0",
			audit: func(t *testing.T, s *redistest.Server, o *Options) {
				o.kernel = kernelFiles(t, s, "0", "[never]")
			}},
		{check: "huge-pages", fault: "always", severity: Medium, says: "always",
			audit: func(t *testing.T, s *redistest.Server, o *Options) {
				o.kernel = kernelFiles(t, s, "1", "[always] never")
			}},
	} {
		t.Run(c.check+", "+c.fault, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, c.options...)
			client := s.Client()
			if c.prepare != nil {
				c.prepare(t, s, client)
			}
			o := Options{Share: 1}
			if c.audit != nil {
				c.audit(t, s, &o)
			}
			f := find(t, run(t, client, o), c.check)
			if f.State != Problem || f.Severity != c.severity || !strings.Contains(f.Measured,
				c.says) || f.Remedy == "" || f.Why == "" || len(f.Commands) == 0 {
				t.Fatalf("%+v", f)
			}
			if c.fix != (f.Fix != nil) {
				t.Fatalf("fix %+v", f.Fix)
			}
			switch {
			case f.Fix != nil:
				if !f.Fix.Survives || f.Fix.Risk == "" {
					t.Errorf("%+v", f.Fix)
				}
				for _, set := range f.Fix.Settings {
					was, persisted, err := redisconn.SetConfig(t.Context(), client,
						set.Name, set.To)
					if err != nil || !persisted || was != set.From {
						t.Fatalf("%+v: was %q, persisted %t, %v", set, was, persisted, err)
					}
				}
			case c.cure != nil:
				c.cure(t, client)
			default:
				return
			}
			if c.audit != nil {
				c.audit(t, s, &o)
			}
			if f := find(t, run(t, client, o), c.check); f.State == Problem {
				t.Errorf("still: %+v", f)
			}
		})
	}
}

func config(lines ...string) []redistest.Option {
	return []redistest.Option{redistest.Config(lines...)}
}

func census(t *testing.T, s *redistest.Server, o *Options) {
	t.Helper()
	survey, err := bullmq.TakeSurvey(t.Context(), s.Client(), bullmq.SurveyOptions{Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	o.Census = &survey
}

// fillTo sets maxmemory so that the given percentage of it is used.
func fillTo(t *testing.T, c redis.UniversalClient, percent int64) {
	t.Helper()
	// large enough that one connection more or less makes no difference
	do(t, c, "SET", "big", strings.Repeat("x", 30_000_000))
	used, ok := (&facts{info: parseInfo(c.Info(t.Context(),
		"memory").Val())}).number("used_memory")
	if !ok {
		t.Fatal("used_memory is not told")
	}
	do(t, c, "CONFIG", "SET", "maxmemory", fmt.Sprint(used*100/percent))
}

// openPlainPort makes a TLS server listen without TLS as well.
func openPlainPort(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	for port := 22700; port < 22999; port++ {
		if c.ConfigSet(context.WithoutCancel(t.Context()), "port",
			fmt.Sprint(port)).Err() == nil {
			return
		}
	}
	t.Fatal("no port is free")
}
