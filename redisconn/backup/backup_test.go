package backup_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/backup"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func start(t *testing.T, config ...string) *redistest.Server {
	t.Helper()
	return redistest.Start(t, redistest.Password("pw"),
		redistest.Config(append([]string{"repl-diskless-sync-delay 0"}, config...)...))
}

func take(t *testing.T, c redis.UniversalClient, o backup.Options) evidence.BackupFacts {
	t.Helper()
	o.Name = "source"
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	f, err := backup.Take(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// jobs adds n jobs with real BullMQ: waiting, delayed and prioritized ones.
func jobs(t *testing.T, s *redistest.Server, n int) {
	t.Helper()
	for from := 0; from < n; from += 10_000 {
		tasks := make([]bullmqtest.Task, 0, 10_000)
		for i := from; i < min(n, from+10_000); i++ {
			task := bullmqtest.Task{Name: "order",
				Data: map[string]any{"order": i, "note": strings.Repeat("x", i%200)},
				Opts: map[string]any{"jobId": fmt.Sprintf("evt_%d", i)}}
			switch i % 10 {
			case 7:
				task.Opts["delay"] = 3_600_000 + i
			case 8:
				task.Opts["priority"] = 1 + i%50
			}
			tasks = append(tasks, task)
		}
		bullmqtest.Major(6).Add(t, s, "order-ingestion", tasks...)
	}
}

// The backup of a source with 100,000 jobs restores and compares equal.
func TestABackupOf100000JobsRestoresAndComparesEqual(t *testing.T) {
	s := redistest.Start(t, redistest.Config("repl-diskless-sync-delay 0"))
	jobs(t, s, 100_000)
	c := s.Client()
	c.Set(t.Context(), "with a time", "v", time.Hour)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	o := backup.Options{Dir: t.TempDir()}
	f := take(t, c, o)
	t.Logf("%+v", f)
	if size := c.DBSize(t.Context()).Val(); f.Method != backup.Replication || !f.Restored ||
		!f.Verified || f.Differences != 0 || f.Keys != size || f.Compared != size ||
		size < 100_000 {
		t.Fatalf("%d keys: %+v", size, f)
	}
	st, err := os.Stat(filepath.Join(o.Dir, f.File))
	if err != nil || st.Size() != f.Bytes || st.Mode().Perm() != 0o600 {
		t.Fatalf("file: %v %v", st, err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Fatalf("the scratch server left %v behind (%v)", left, err)
	}
}

// changed backs up a server whose data is changed between the snapshot and the
// comparison.
func changed(
	t *testing.T, o backup.Options, change func(redis.UniversalClient),
) evidence.BackupFacts {
	t.Helper()
	s := start(t)
	c := s.Client()
	redistest.FillRandom(t, c, 7, 300)
	c.HSet(t.Context(), "bull:q:1", "data", strings.Repeat("a", 100))
	c.Set(t.Context(), "ttl", "v", time.Hour)
	once := false
	o.Progress = func(what string) {
		if !once && (strings.Contains(what, "scratch server") ||
			strings.Contains(what, "reading the file back")) {
			once = true
			change(c)
		}
	}
	return take(t, c, o)
}

func TestWhatDiffersFromTheSourceIsFound(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]backup.Options{"restored": {},
		"only read back": {RedisServer: "off"}} {
		for rule, change := range map[string]func(redis.UniversalClient){
			"value: bull:q:1": func(c redis.UniversalClient) {
				c.HSet(t.Context(), "bull:q:1", "data", strings.Repeat("a", 99)+"b")
			},
			"deleted: ttl": func(c redis.UniversalClient) { c.Del(t.Context(), "ttl") },
			"expiry: ttl": func(c redis.UniversalClient) {
				c.Expire(t.Context(), "ttl", 2*time.Hour)
			},
			"added: later": func(c redis.UniversalClient) {
				c.Set(t.Context(), "later", "v", 0)
			},
		} {
			f := changed(t, o, change)
			key := rule[strings.LastIndex(rule, " ")+1:]
			if f.Differences != 1 || len(f.Examples) != 1 ||
				!strings.HasSuffix(f.Examples[0], key) || f.Restored != (o.RedisServer == "") {
				t.Errorf("%s, %s: %+v", name, rule, f)
			}
		}
	}
}

func TestASourceThatRefusesReplicationIsDumpedAndRestored(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.Client()
	redistest.FillRandom(t, c, 9, 300)
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "-psync",
		"-sync").Err(); err != nil {
		t.Fatal(err)
	}
	f := take(t, c, backup.Options{})
	if f.Method != backup.Dump || !f.Restored || f.Differences != 0 || f.Compared != f.Keys ||
		!strings.Contains(f.Why, "NOPERM") {
		t.Fatalf("%+v", f)
	}
}

func TestWithoutAServerItIsReadBackAndSaysSo(t *testing.T) {
	t.Parallel()
	c := start(t).Client()
	redistest.FillRandom(t, c, 3, 100)
	f := take(t, c, backup.Options{RedisServer: "redis-server-that-is-not-there"})
	if f.Method != backup.Dump || f.Restored || !f.Verified || f.Differences != 0 ||
		!strings.Contains(f.NotRestored, "no redis-server on this machine") {
		t.Fatalf("%+v", f)
	}
}

func TestAFileThatTheServerCannotLoadIsNoBackupAndLeavesNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "redis-server")
	if err := os.WriteFile(broken,
		[]byte("#!/bin/sh\necho Fatal error loading the DB\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := start(t).Client()
	redistest.FillRandom(t, c, 3, 100)
	f := take(t, c, backup.Options{Dir: dir, RedisServer: broken})
	if f.Method != backup.Dump || f.Restored ||
		!strings.Contains(f.Why, "Fatal error loading the DB") || f.NotRestored == "" {
		t.Fatalf("%+v", f)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.rdb*")); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestOtherDatabasesAreInTheFileAndCompared(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.Client()
	redistest.FillRandom(t, c, 3, 50)
	if err := c.Do(t.Context(), "EVAL",
		"redis.call('SELECT', 3) return redis.call('SET', 'k', 'v')", 0).Err(); err != nil {
		t.Fatal(err)
	}
	f := take(t, c, backup.Options{})
	if f.Method != backup.Replication || f.Differences != 0 ||
		f.Compared != c.DBSize(t.Context()).Val()+1 {
		t.Fatalf("%+v", f)
	}
}

func TestAFencedServerCanBeBackedUp(t *testing.T) {
	t.Parallel()
	c := start(t).Client()
	redistest.FillRandom(t, c, 3, 50)
	c.ConfigSet(t.Context(), "min-replicas-to-write", "1000")
	if f := take(t, c, backup.Options{}); f.Method != backup.Replication || !f.Restored ||
		f.Differences != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestAFlippedByteOfASnapshotFileIsFound(t *testing.T) {
	t.Parallel()
	c := start(t).Client()
	redistest.FillRandom(t, c, 5, 200)
	dir := t.TempDir()
	f := take(t, c, backup.Options{Dir: dir})
	whole, err := os.ReadFile(filepath.Join(dir, f.File))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keycopy.Verify(strings.NewReader(string(whole))); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += max(1, len(whole)/97) {
		flipped := append([]byte{}, whole...)
		flipped[i] ^= 0x20
		if _, err := keycopy.Verify(strings.NewReader(string(flipped))); err == nil {
			t.Errorf("byte %d of %d flipped: not found", i, len(whole))
		}
	}
	if _, err := keycopy.Verify(strings.NewReader(string(whole) + "x")); err == nil {
		t.Error("a byte appended: not found")
	}
}

func TestACancelledBackupLeavesNoServerAndNoFile(t *testing.T) {
	t.Parallel()
	c := start(t).Client()
	redistest.FillRandom(t, c, 5, 200)
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := backup.Take(ctx, c,
		backup.Options{Dir: dir, Name: "source", Progress: func(what string) {
			if strings.Contains(what, "snapshot") {
				cancel()
			}
		}})
	if err == nil {
		t.Fatal("no error")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}
