package sentinel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// writer is an application: it adds unique members on whichever of the servers
// accepts them, and remembers what was acknowledged.
type writer struct {
	stop  context.CancelFunc
	done  chan struct{}
	mu    sync.Mutex
	acked []string
}

func startWriter(t *testing.T, servers ...redis.UniversalClient) *writer {
	ctx, stop := context.WithCancel(t.Context())
	w := &writer{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		at := 0
		for n := 0; ctx.Err() == nil; n++ {
			member := fmt.Sprint(n)
			for ctx.Err() == nil {
				try, cancel := context.WithTimeout(ctx, 2*time.Second)
				err := servers[at].SAdd(try, "orders", member).Err()
				cancel()
				if err == nil {
					w.mu.Lock()
					w.acked = append(w.acked, member)
					w.mu.Unlock()
					break
				}
				at = (at + 1) % len(servers) // READONLY, NOREPLICAS: try the other one
			}
		}
	}()
	return w
}

func (w *writer) await(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	want := len(w.acked) + n
	w.mu.Unlock()
	redistest.Eventually(t, 20*time.Second, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.acked) < want {
			return fmt.Errorf("%d of %d writes", len(w.acked), want)
		}
		return nil
	})
}

// lost stops the writer and counts the acknowledged members that the server does
// not hold.
func (w *writer) lost(t *testing.T, c redis.UniversalClient) (acked, lost int) {
	t.Helper()
	w.stop()
	<-w.done
	there, err := c.SMembersMap(t.Context(), "orders").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range w.acked {
		if _, ok := there[m]; !ok {
			lost++
		}
	}
	return len(w.acked), lost
}

// swap is a standalone server under a writer, and a deployment about to take over.
type swap struct {
	source  *redistest.Server
	d       *redistest.Sentinel
	c       *sentinel.Cluster
	monitor sentinel.Monitor
	src     redis.UniversalClient
	dst     redis.UniversalClient
}

func newSwap(t *testing.T) *swap {
	t.Helper()
	s := &swap{source: redistest.Start(t, redistest.Password("old"),
		redistest.Config("bind 127.0.0.1 127.0.0.2", "appendonly yes",
			"repl-diskless-sync-delay 0"))}
	s.d, s.c = deployment(t)
	m, err := s.c.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The settings survive serialization.
	b, err := json.Marshal(m)
	if err != nil || strings.Contains(string(b), "data") ||
		json.Unmarshal(b, &s.monitor) != nil {
		t.Fatalf("the monitor's JSON: %s %v", b, err)
	}
	s.src, s.dst = s.source.Client(), s.c.Node(m.Master)
	return s
}

func (s *swap) replicate(t *testing.T) {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.source.Addr())
	for range 2 { // the second time changes nothing
		if err := sentinel.StartReplication(t.Context(), s.dst, s.src, host, port,
			redisconn.Credentials{Password: "old"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sentinel.WaitSynced(t.Context(), s.dst, nil); err != nil {
		t.Fatal(err)
	}
}

func (s *swap) forward(ctx context.Context) (sentinel.SwitchReport, error) {
	host, port, _ := net.SplitHostPort(s.monitor.Master)
	return sentinel.Switch(ctx, s.dst, s.src, host, port,
		redisconn.Credentials{Password: "data"})
}

func (s *swap) back(ctx context.Context) (sentinel.SwitchReport, error) {
	host, port, _ := net.SplitHostPort(s.source.Addr())
	return sentinel.SwitchBack(ctx, s.dst, s.src, host, port,
		redisconn.Credentials{Password: "old"})
}

func TestSwapAndSwapBackUnderWritesLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSwap(t)
	ctx := t.Context()
	w := startWriter(t, s.source.Foreign("app"), s.d.Node(s.monitor.Master).Foreign("app"))
	w.await(t, 500)
	s.replicate(t)
	w.await(t, 500)
	for _, step := range []struct {
		name string
		do   func(context.Context) (sentinel.SwitchReport, error)
	}{{"switch", s.forward}, {"switch back", s.back}, {"switch again", s.forward}} {
		r, err := step.do(ctx)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		frozen := r.FreezeMS.Text(migration.Millis)
		t.Logf("%s: writes frozen for %s", step.name, frozen)
		if !r.FreezeMS.Within(3000) {
			t.Errorf("%s froze writes for %s", step.name, frozen)
		}
		if r, err = step.do(ctx); err != nil || !r.FreezeMS.IsZero() {
			t.Errorf("%s, again: %+v %v", step.name, r, err)
		}
		w.await(t, 500)
	}
	if _, err := s.c.Suspend(ctx); !errors.Is(err, sentinel.ErrSuspended) {
		t.Errorf("suspend twice: %v", err)
	}
	for range 2 {
		if err := s.c.Resume(ctx, s.monitor); err != nil {
			t.Fatal(err)
		}
	}
	if checks, err := s.c.Readiness(ctx); err != nil || len(migration.Failing(checks)) > 0 {
		t.Errorf("after the swap: %+v %v", migration.Failing(checks), err)
	}
	acked, lost := w.lost(t, s.dst)
	t.Logf("%d acknowledged, %d lost", acked, lost)
	if lost != 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, acked)
	}
	if err := s.src.Set(ctx, "late", "v", 0).Err(); err == nil ||
		!strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("a late write on the old server: %v", err)
	}
}

func TestSwitchCanRunAgainAfterAnInterruptionAtAnyCommand(t *testing.T) {
	t.Parallel()
	s := newSwap(t)
	ctx := t.Context()
	w := startWriter(t, s.source.Foreign("app"), s.d.Node(s.monitor.Master).Foreign("app"))
	w.await(t, 100)
	s.replicate(t)
	src, dst := &breaker{}, &breaker{}
	s.src.AddHook(src)
	s.dst.AddHook(dst)
	for _, b := range []*breaker{src, dst} {
		for n := 1; ; n++ {
			b.arm(n)
			_, err := s.forward(ctx)
			hit := b.disarm()
			if !hit {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if _, err := s.forward(ctx); err != nil {
				t.Fatalf("run again after command %d failed: %v", n, err)
			}
			w.await(t, 20)
			if _, err := s.back(ctx); err != nil {
				t.Fatal(err)
			}
			w.await(t, 20)
		}
		if _, err := s.back(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if acked, lost := w.lost(t, s.src); lost != 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, acked)
	}
}

// breaker loses the reply of one command: the server executes it, the caller sees
// an error.
type breaker struct {
	mu    sync.Mutex
	count int
	at    int
}

func (b *breaker) arm(at int) { b.mu.Lock(); b.count, b.at = 0, at; b.mu.Unlock() }

// disarm reports whether the reply was lost.
func (b *breaker) disarm() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	hit := b.count >= b.at
	b.at = 0
	return hit
}

func (b *breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.count++; b.at > 0 && b.count == b.at {
			err = fmt.Errorf("connection cut after %s", cmd.Name())
			cmd.SetErr(err)
		}
		return err
	}
}

func (b *breaker) ProcessPipelineHook(
	next redis.ProcessPipelineHook,
) redis.ProcessPipelineHook {
	return next
}

func TestStartReplicationRefusesToDeleteData(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t), redistest.Start(t)
	host, port, _ := net.SplitHostPort(src.Addr())
	dst.Client().Set(t.Context(), "precious", "v", 0)
	if err := sentinel.StartReplication(t.Context(), dst.Client(), src.Client(), host, port,
		redisconn.Credentials{}); err == nil || !strings.Contains(err.Error(), "1 keys") {
		t.Errorf("got %v", err)
	}
	if dst.Client().Exists(t.Context(), "precious").Val() != 1 {
		t.Error("the key is gone")
	}
	if _, err := sentinel.Switch(t.Context(), dst.Client(), src.Client(), "127.0.0.1", "1",
		redisconn.Credentials{}); migration.KindOf(err) != migration.Blocked {
		t.Error("switched without replication")
	}
	if err := sentinel.WaitSynced(t.Context(), dst.Client(), nil); err == nil {
		t.Error("waited for a server that is no replica")
	}
}

func TestStopReplicationLeavesAnEmptyMaster(t *testing.T) {
	t.Parallel()
	// as sentinel/deploy writes it for two replicas
	src, dst := redistest.Start(t, redistest.Config("repl-diskless-sync-delay 0")),
		redistest.Start(t, redistest.Config("min-replicas-to-write 1"))
	host, port, _ := net.SplitHostPort(src.Addr())
	ctx := t.Context()
	src.Client().Set(ctx, "k", "v", 0)
	if err := sentinel.StartReplication(ctx, dst.Client(), src.Client(), host, port,
		redisconn.Credentials{}); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.WaitSynced(ctx, dst.Client(), nil); err != nil {
		t.Fatal(err)
	}
	// as a switch that was switched back leaves it
	if err := dst.Client().ConfigSet(ctx, "replica-priority", "0").Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sentinel.StopReplication(ctx, dst.Client(), src.Client(),
			redisconn.Credentials{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := dst.Client().DBSize(ctx).Val(); n != 0 || src.Client().DBSize(ctx).Val() != 1 {
		t.Errorf("the new server holds %d keys", n)
	}
	if p := dst.Client().ConfigGet(ctx, "replica-priority").Val()["replica-priority"]; p != "100" {
		t.Errorf("sentinels promote it with priority %s: 0 is never", p)
	}
	const enough = "min-replicas-to-write"
	if n := dst.Client().ConfigGet(ctx, enough).Val()[enough]; n != "1" {
		t.Errorf("it wants %s replicas, not one as before", n)
	}
}
