package redisconn_test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func watch(t *testing.T, c redis.UniversalClient, monitor bool) *redisconn.Watcher {
	t.Helper()
	w, err := redisconn.Watch(t.Context(), c, monitor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func look(t *testing.T, w *redisconn.Watcher) redisconn.Look {
	t.Helper()
	l, err := w.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// awaitVisit looks until somebody was seen.
func awaitVisit(t *testing.T, w *redisconn.Watcher) redisconn.Visit {
	t.Helper()
	var v redisconn.Visit
	redistest.Eventually(t, 10*time.Second, func() error {
		l := look(t, w)
		if len(l.Visits) == 0 {
			return errors.New("nobody was seen")
		}
		v = l.Visits[0]
		return nil
	})
	return v
}

func TestNobodyIsSeenWhileOnlyThisProcessReads(t *testing.T) {
	t.Parallel()
	for _, monitor := range []bool{false, true} {
		s := redistest.Start(t, redistest.Password("pw"))
		c, own := s.Client(), s.Client()
		w := watch(t, c, monitor)
		for range 20 {
			own.Get(t.Context(), "k")
			own.Info(t.Context())
			if l := look(t, w); len(l.Visits) != 0 || l.Writes != 0 || l.Restarted ||
				(l.Unseen == "") != monitor {
				t.Fatalf("monitor %v: %+v", monitor, l)
			}
		}
	}
}

func TestAShortConnectionThatWritesIsCountedAndWithMonitorNamed(t *testing.T) {
	t.Parallel()
	for _, monitor := range []bool{false, true} {
		s := redistest.Start(t)
		w := watch(t, s.Client(), monitor)
		app := redis.NewClient(&redis.Options{Addr: s.Addr(), DisableIdentity: true,
			ClientName: "shop"})
		app.Incr(t.Context(), "n")
		app.Close()
		l := look(t, w)
		if l.Writes != 1 || len(l.Visits) != 1 || l.Visits[0].Commands["incr"] != 1 ||
			l.Visits[0].Connections != 1 {
			t.Fatalf("monitor %v: %+v", monitor, l)
		}
		if v := l.Visits[0]; monitor && (v.Name != "shop" || !strings.HasPrefix(v.Addr,
			"127.0.0.1:") || v.Cmd != "incr") || !monitor && v.Addr != "" {
			t.Errorf("monitor %v: %+v", monitor, v)
		}
		if l := look(t, w); len(l.Visits) != 0 || l.Writes != 0 {
			t.Errorf("monitor %v: seen twice: %+v", monitor, l)
		}
	}
}

func TestAnIdleConnectionIsSeenAtEveryLookAndCountedOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	app := s.Foreign("idle-worker")
	app.Ping(t.Context())
	w := watch(t, s.Client(), true)
	for i := range 3 {
		l := look(t, w)
		if len(l.Visits) != 1 || l.Visits[0].Name != "idle-worker" ||
			l.Visits[0].Cmd != "ping" || l.Visits[0].Connections != int64(1-min(i, 1)) {
			t.Fatalf("look %d: %+v", i, l)
		}
	}
}

func TestAReplicaWhoseMasterExpiresAKeyIsQuiet(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Start(t), redistest.Start(t)
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
	if err := m.Set(t.Context(), "short", "v", 150*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	// the write itself happened before the watch
	if n, err := m.Do(t.Context(), "WAIT", 1, 2000).Int(); err != nil || n != 1 {
		t.Fatalf("the replica did not take the key: %d %v", n, err)
	}
	ofMaster, ofReplica := watch(t, master.Client(), true), watch(t, c, true)
	redistest.Eventually(t, 10*time.Second, func() error {
		for _, w := range []*redisconn.Watcher{ofMaster, ofReplica} {
			if l := look(t, w); len(l.Visits) != 0 || l.Writes > 0 && w == ofReplica {
				t.Fatalf("%+v", l)
			}
		}
		if n, err := c.Exists(t.Context(), "short").Result(); err != nil || n != 0 {
			return fmt.Errorf("the key is there: %w", err)
		}
		return nil
	})
}

func TestWhoTriesToWriteOnAFencedServerIsSeen(t *testing.T) {
	t.Parallel()
	fenced := func(t *testing.T,
		opts ...redistest.Option) (*redistest.Server, *redisconn.Watcher) {
		s := redistest.Start(t, opts...)
		c := s.Client()
		if _, err := redisconn.Fence(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return s, watch(t, c, true)
	}
	cli := func(t *testing.T, s *redistest.Server, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "redis-cli",
			append([]string{"-p", strconv.Itoa(s.Port)}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil ||
			!strings.Contains(string(out), "NOREPLICAS") {
			t.Fatalf("%s %v", out, err)
		}
	}
	t.Run("redis-cli that signs in, tries LPUSH and leaves at once, by its address",
		func(t *testing.T) {
			t.Parallel()
			s, w := fenced(t, redistest.Password("pw"))
			cli(t, s, "--no-auth-warning", "-a", "pw", "LPUSH", "k", "v")
			v := awaitVisit(t, w)
			if !strings.HasPrefix(v.Addr, "127.0.0.1:") || v.Refused != 1 ||
				v.Commands["lpush"] != 1 || v.Cmd != "lpush" {
				t.Errorf("%+v", v)
			}
		})
	t.Run("the same without a password, counted by its command", func(t *testing.T) {
		t.Parallel()
		s, w := fenced(t)
		cli(t, s, "LPUSH", "k", "v")
		v := awaitVisit(t, w)
		if v.Addr != "" || v.Refused != 1 || v.Commands["lpush"] != 1 || v.Cmd != "lpush" ||
			v.Connections != 1 {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a real BullMQ producer, by its script", func(t *testing.T) {
		t.Parallel()
		s, w := fenced(t)
		cmd := bullmqtest.Major(6).Command(t, s, "orders", "add")
		cmd.Stdin = strings.NewReader(`[{"name":"order","data":{"n":1}}]`)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "NOREPLICAS") {
			t.Fatalf("the add was not refused: %v %s", err, out)
		}
		l := look(t, w)
		if len(l.Visits) == 0 {
			t.Fatal("nobody was seen")
		}
		scripts, refused := int64(0), int64(0)
		for _, v := range l.Visits {
			scripts, refused = scripts+v.Commands["evalsha"]+v.Commands["eval"],
				refused+v.Refused
		}
		if scripts == 0 || refused == 0 || l.Writes != 0 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("one that reads only", func(t *testing.T) {
		t.Parallel()
		s, w := fenced(t)
		app := s.Foreign("reader")
		app.Get(t.Context(), "k")
		app.Close()
		if v := awaitVisit(t, w); v.Name != "reader" || v.Refused != 0 ||
			v.Commands["get"] != 1 {
			t.Errorf("%+v", v)
		}
	})
	t.Run("one that only connects and signs in", func(t *testing.T) {
		t.Parallel()
		s, w := fenced(t, redistest.Password("pw"))
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "AUTH pw\r\n")
		if v := awaitVisit(t, w); v.Addr != conn.LocalAddr().String() || v.Cmd != "auth" {
			t.Errorf("%+v", v)
		}
	})
}

func TestWhereMonitorIsRefusedTheLookSaysSo(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("pw"))
	c := s.Client()
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "-monitor").Err(); err != nil {
		t.Fatal(err)
	}
	w := watch(t, c, true)
	if l := look(t, w); !strings.Contains(l.Unseen, "NOPERM") {
		t.Fatalf("%+v", l)
	}
	app := redis.NewClient(&redis.Options{Addr: s.Addr(), Password: "pw",
		DisableIdentity: true})
	app.Incr(t.Context(), "n")
	app.Close()
	if l := look(t, w); len(l.Visits) != 1 || l.Visits[0].Commands["incr"] != 1 {
		t.Fatalf("%+v", l)
	}
}

func TestARestartedServerIsNoQuietOne(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := watch(t, s.Client(), true)
	s.Kill()
	s.Restart()
	redistest.Eventually(t, 10*time.Second, func() error {
		l, err := w.Look(t.Context())
		if err == nil && (!l.Restarted || len(l.Visits) != 0) {
			t.Fatalf("%+v", l)
		}
		return err
	})
	redistest.Eventually(t, 10*time.Second, func() error {
		if l := look(t, w); l.Unseen != "" {
			return errors.New(l.Unseen)
		}
		return nil
	})
}

func TestNeitherClientNorScriptTextMisleadsTheMonitor(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := watch(t, s.Client(), true)
	app := s.Foreign("shop")
	app.Eval(t.Context(),
		`return redis.call("SET", KEYS[1], ARGV[1]) -- ] "lua" [0 127.0.0.1:1] "get"`,
		[]string{"k\r\n]"}, strings.Repeat("x", 1<<20))
	app.Get(t.Context(), "k")
	app.Close()
	l := look(t, w)
	if len(l.Visits) != 1 || l.Visits[0].Commands["eval"] != 1 ||
		l.Visits[0].Commands["get"] != 1 || l.Visits[0].Name != "shop" {
		t.Fatalf("%+v", l)
	}
}
