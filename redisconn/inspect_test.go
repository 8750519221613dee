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

func TestSetConfig(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Config("maxmemory-policy allkeys-lru"))
	c := s.Client()
	previous, persisted, err := redisconn.SetConfig(t.Context(), c, "maxmemory-policy", "noeviction")
	if err != nil || previous != "allkeys-lru" || !persisted {
		t.Fatalf("got %q %v %v", previous, persisted, err)
	}
	s.Kill()
	s.Restart()
	redistest.Eventually(t, 5*time.Second, func() error { return redisconn.Ping(t.Context(), c) })
	if f, err := redisconn.Inspect(t.Context(), c); err != nil || f.MaxMemoryPolicy != "noeviction" {
		t.Errorf("after a restart: %q %v", f.MaxMemoryPolicy, err)
	}
	if _, _, err := redisconn.SetConfig(t.Context(), c, "maxmemory-policy", "no-such-policy"); err == nil {
		t.Error("an unknown policy was accepted")
	}
	bare := redistest.Start(t, redistest.NoConfigFile(), redistest.Config("maxmemory-policy allkeys-lru"))
	if previous, persisted, err := redisconn.SetConfig(t.Context(), bare.Client(), "maxmemory-policy", "noeviction"); err != nil || previous != "allkeys-lru" || persisted {
		t.Errorf("without a configuration file: %q %v %v", previous, persisted, err)
	}
	managed := redistest.Start(t, redistest.Config("user default on nopass ~* &* +@all -config"))
	if _, _, err := redisconn.SetConfig(t.Context(), managed.Client(), "maxmemory-policy", "noeviction"); migration.KindOf(err) != migration.Blocked {
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
	if err := app.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
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
