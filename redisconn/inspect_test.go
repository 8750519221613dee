package redisconn_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestInspectReadsConfigThenInfoAndNeverAssumes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("pw"), redistest.Config("maxmemory 64mb", "maxmemory-policy allkeys-lru", "appendonly yes"))
	managed := redistest.Start(t, redistest.TLS(), redistest.Password("pw"), redistest.Config("maxmemory-policy noeviction",
		"user default on >pw ~* &* +@all -config -acl"))
	mute := redistest.Start(t, redistest.Config("user default on nopass ~* &* +@all -config"))

	f, err := redisconn.Inspect(t.Context(), s.Client())
	if err != nil {
		t.Fatal(err)
	}
	if f.MaxMemoryPolicy != "allkeys-lru" || f.PolicySource != "CONFIG GET" || f.MaxMemory != 64<<20 || !f.AOFEnabled || f.Role != "master" ||
		f.DefaultUserNoPass || f.EvictedKeys != 0 || f.MinReplicas != 0 || len(f.Unknown) != 0 {
		t.Errorf("standalone: %+v", f)
	}
	f, err = redisconn.Inspect(t.Context(), managed.Client())
	if err != nil {
		t.Fatal(err)
	}
	if f.MaxMemoryPolicy != "noeviction" || f.PolicySource != "INFO memory" || f.DefaultUserNoPass || f.MinReplicas != redisconn.Unreported ||
		!slices.Contains(f.Unknown, "save_points") || slices.Contains(f.Unknown, "default_user_nopass") {
		t.Errorf("managed: %+v", f)
	}
	if f, err = redisconn.Inspect(t.Context(), mute.Client()); err != nil || !f.DefaultUserNoPass {
		t.Errorf("no password: %+v %v", f, err)
	}
}

func TestSetPolicy(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Config("maxmemory-policy allkeys-lru"))
	c := s.Client()
	previous, persisted, err := redisconn.SetPolicy(t.Context(), c, "noeviction")
	if err != nil || previous != "allkeys-lru" || !persisted {
		t.Fatalf("got %q %v %v", previous, persisted, err)
	}
	s.Kill()
	s.Restart()
	redistest.Eventually(t, 5*time.Second, func() error { return redisconn.Ping(t.Context(), c) })
	if f, err := redisconn.Inspect(t.Context(), c); err != nil || f.MaxMemoryPolicy != "noeviction" {
		t.Errorf("after a restart: %q %v", f.MaxMemoryPolicy, err)
	}
	if _, _, err := redisconn.SetPolicy(t.Context(), c, "no-such-policy"); err == nil {
		t.Error("an unknown policy was accepted")
	}
	bare := redistest.Start(t, redistest.NoConfigFile(), redistest.Config("maxmemory-policy allkeys-lru"))
	if previous, persisted, err := redisconn.SetPolicy(t.Context(), bare.Client(), "noeviction"); err != nil || previous != "allkeys-lru" || persisted {
		t.Errorf("without a configuration file: %q %v %v", previous, persisted, err)
	}
	managed := redistest.Start(t, redistest.Config("user default on nopass ~* &* +@all -config"))
	if _, _, err := redisconn.SetPolicy(t.Context(), managed.Client(), "noeviction"); migration.KindOf(err) != migration.Blocked {
		t.Errorf("managed: %v", err)
	}
}

func TestFenceRefusesWritesAndRemembersTheSettingOfBefore(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Config("min-replicas-to-write 0"))
	c, app := s.Client(), s.Foreign("app")
	for range 2 { // again after a crash
		if previous, err := redisconn.Fence(t.Context(), c); err != nil || previous != "0" {
			t.Fatalf("got %q %v", previous, err)
		}
	}
	if err := app.Set(t.Context(), "k", "v", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOREPLICAS") {
		t.Errorf("a write on a fenced server: %v", err)
	}
	if err := app.Eval(t.Context(), "return redis.call('SET',KEYS[1],'v')", []string{"k"}).Err(); err == nil {
		t.Error("a script wrote on a fenced server")
	}
	if err := app.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Errorf("a read on a fenced server: %v", err)
	}
	if fenced, err := redisconn.Fenced(t.Context(), c); err != nil || !fenced {
		t.Errorf("Fenced: %v %v", fenced, err)
	}
	for _, previous := range []string{"", "0", ""} {
		if err := redisconn.Unfence(t.Context(), c, previous); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Errorf("a write after Unfence: %v", err)
	}
}

func TestForeignClientsLeavesOutOurOwn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	if got, err := redisconn.ForeignClients(t.Context(), c); err != nil || len(got) != 0 {
		t.Fatalf("only us: %v %v", got, err)
	}
	if err := s.Foreign("shop").Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := redisconn.ForeignClients(t.Context(), c)
	if err != nil || len(got) != 1 || got[0].Name != "shop" || got[0].Cmd != "ping" {
		t.Errorf("got %+v %v", got, err)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	const window = 300 * time.Millisecond
	quiet := func(t *testing.T, s *redistest.Server, meanwhile func()) redisconn.QuietReport {
		t.Helper()
		c := s.Client()
		if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); meanwhile() }()
		r, err := redisconn.Quiet(t.Context(), c, window)
		<-done
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Run("nobody, while this process reads", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		own := s.Client()
		r := quiet(t, s, func() {
			for range 20 {
				own.Get(t.Context(), "k")
				own.Info(t.Context())
			}
		})
		if !r.Quiet {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a short connection that writes and leaves", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		r := quiet(t, s, func() {
			app := redis.NewClient(&redis.Options{Addr: s.Addr(), DisableIdentity: true})
			app.Incr(t.Context(), "n")
			app.Close()
		})
		if r.Quiet || r.Changes != 1 || r.Commands["incr"] != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a replica where a key of its master expires", func(t *testing.T) {
		t.Parallel()
		master := redistest.Start(t)
		replica := redistest.Start(t)
		c := replica.Client()
		if err := c.Do(t.Context(), "REPLICAOF", master.Host, master.Port).Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 10*time.Second, func() error {
			f, err := redisconn.Inspect(t.Context(), c)
			if err == nil && !f.MasterLinkUp {
				err = errors.New("no link")
			}
			return err
		})
		m := master.Client()
		if err := m.Set(t.Context(), "short", "v", window/2).Err(); err != nil {
			t.Fatal(err)
		}
		if n, err := m.Do(t.Context(), "WAIT", 1, 2000).Int(); err != nil || n != 1 { // the write itself belongs before the window
			t.Fatalf("the replica did not take the key: %d %v", n, err)
		}
		r, err := redisconn.Quiet(t.Context(), c, window)
		if err != nil || !r.Quiet {
			t.Errorf("%+v %v", r, err)
		}
		if n, err := c.Exists(t.Context(), "short").Result(); err != nil || n != 0 {
			t.Errorf("the key did not expire during the window: %d %v", n, err)
		}
	})
	t.Run("an idle connection", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		app := s.Foreign("idle-worker")
		app.Ping(t.Context())
		r := quiet(t, s, func() {})
		if r.Quiet || len(r.Clients) != 1 || r.Clients[0].Name != "idle-worker" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a knock on a fenced server", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		c := s.Client()
		r := quiet(t, s, func() {
			if _, err := redisconn.Fence(t.Context(), c); err != nil {
				t.Error(err)
			}
			app := redis.NewClient(&redis.Options{Addr: s.Addr(), DisableIdentity: true, MaxRetries: -1})
			app.Set(t.Context(), "n", "v", 0)
			app.Close()
		})
		if r.Quiet || r.Knocks != 1 {
			t.Errorf("%+v", r)
		}
	})
}
