package sentinel_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/sentinel/deploytest"
)

// failing returns the ids of the failing checks, and complains about any that does
// not say enough.
func failing(t *testing.T, c *sentinel.Cluster) []string {
	t.Helper()
	checks, err := c.Readiness(t.Context())
	if err != nil {
		return []string{err.Error()}
	}
	var ids []string
	for _, g := range migration.Failing(checks) {
		if g.Next == "" || g.Measured == "" || g.Limit == "" {
			t.Errorf("a refusal without a measured value, limit or next action: %+v", g)
		}
		ids = append(ids, g.ID)
	}
	return ids
}

// broken is a deployment that a test case breaks and repairs.
type broken struct {
	*testing.T
	d *deploytest.Deployment
	c *sentinel.Cluster
}

// sentinels sends a command to the sentinels at those positions, or to all without
// any.
func (b broken) sentinels(which []int, args ...any) {
	b.Helper()
	for i, addr := range b.d.Endpoint().SentinelAddrs {
		if len(which) > 0 && !slices.Contains(which, i) {
			continue
		}
		c := redisconn.SentinelNode(b.d.Endpoint(), addr)
		if err := c.Process(b.Context(), redis.NewCmd(b.Context(), args...)); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

func (b broken) set(option, value string, which ...int) {
	b.Helper()
	b.sentinels(which, "sentinel", "set", b.d.Spec.MasterName, option, value)
}

// replica returns a data node that is not the master now.
func (b broken) replica() *redistest.Server {
	b.Helper()
	master, err := b.c.Master(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for addr, n := range b.d.Nodes {
		if addr != master {
			return n
		}
	}
	panic("unreachable: there is always a replica")
}

func (b broken) config(n *redistest.Server, setting, value string) (undo func()) {
	b.Helper()
	c := b.c.Node(n.Addr())
	old, err := c.ConfigGet(b.Context(), setting).Result()
	if err == nil {
		err = c.ConfigSet(b.Context(), setting, value).Err()
	}
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := c.ConfigSet(context.WithoutCancel(b.Context()), setting,
			old[setting]).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// Every misconfiguration is made on a real deployment from the generated files,
// which passes all checks before and after.
func TestReadinessDetects(t *testing.T) {
	t.Parallel()
	d := deploytest.Start(t, deploytest.Spec(t, t.TempDir(), 2), nil)
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	c.Zones = d.Spec.Zones()
	d.AwaitReady(c)
	for _, tc := range []struct {
		rule string
		want []string
		make func(b broken) (undo func())
	}{
		{"a quorum of one", []string{"quorum"}, func(b broken) func() {
			b.set("quorum", "1")
			return func() { b.set("quorum", "2") }
		}},
		{"a quorum larger than the sentinels", []string{"quorum", "ckquorum"},
			func(b broken) func() {
				b.set("quorum", "4")
				return func() { b.set("quorum", "2") }
			}},
		{"settings that differ", []string{"settings"}, func(b broken) func() {
			b.set("quorum", "3", 1)
			return func() { b.set("quorum", "2", 1) }
		}},
		{"parallel-syncs", []string{"parallel-syncs"}, func(b broken) func() {
			b.set("parallel-syncs", "2")
			return func() { b.set("parallel-syncs", "1") }
		}},
		{"a failure that would be noticed too late", []string{"down-after"},
			func(b broken) func() {
				b.set("down-after-milliseconds", "60000")
				return func() { b.set("down-after-milliseconds", "2000") }
			}},
		{"a sentinel with the wrong auth-pass", []string{"auth-pass"}, func(b broken) func() {
			b.set("auth-pass", "wrong", 0)
			return func() { b.set("auth-pass", b.d.Spec.Secrets.Sentinel.Reveal(), 0) }
		}},
		{"replica-priority 0", []string{"replica-priority"}, func(b broken) func() {
			return b.config(b.replica(), "replica-priority", "0")
		}},
		{"min-replicas that a failover would violate", []string{"min-replicas"},
			func(b broken) func() {
				return b.config(b.replica(), "min-replicas-to-write", "2")
			}},
		{"an eviction policy", []string{"noeviction"}, func(b broken) func() {
			return b.config(b.replica(), "maxmemory-policy", "volatile-lru")
		}},
		{"a masterauth that does not fit", []string{"masterauth"}, func(b broken) func() {
			return b.config(b.replica(), "masterauth", "wrong")
		}},
		{"a node that forgets", []string{"persistence"}, func(b broken) func() {
			n := b.replica()
			save, aof := b.config(n, "save", ""), b.config(n, "appendonly", "no")
			return func() { aof(); save() }
		}},
		{"a failure domain that holds everything", []string{"failure-domain"},
			func(b broken) func() {
				b.c.Zones = map[string]string{}
				for a := range d.Spec.Zones() {
					b.c.Zones[a] = "one"
				}
				return func() { b.c.Zones = d.Spec.Zones() }
			}},
		{"a server without a failure domain", []string{"failure-domain"},
			func(b broken) func() {
				b.c.Zones = d.Spec.Zones()
				delete(b.c.Zones, b.replica().Addr())
				return func() { b.c.Zones = d.Spec.Zones() }
			}},
		{"a replica that lags", []string{"replication-lag"}, func(b broken) func() {
			n := b.replica()
			n.Freeze()
			return n.Thaw
		}},
		{"a replica that is gone", []string{"stale-replicas", "announce-ip"},
			func(b broken) func() {
				n := b.replica()
				n.Kill()
				return n.Restart
			}},
		{"a sentinel that is gone", []string{"sentinels", "stale-sentinels", "announce-ip"},
			func(b broken) func() {
				s := b.d.Guards[b.d.Spec.Hosts[2].SentinelAddr()]
				s.Kill()
				return s.Restart
			}},
		{"a replica that announces an address that nobody reaches",
			[]string{"announce-ip", "stale-replicas"}, func(b broken) func() {
				n := b.replica()
				undo := b.config(n, "replica-announce-ip", "127.0.0.99")
				// the address is announced when the link is established
				b.c.Node(n.Addr()).Do(b.Context(), "client", "kill", "type", "master")
				return func() {
					undo()
					b.c.Node(n.Addr()).Do(b.Context(), "client", "kill", "type", "master")
					redistest.Eventually(b, 10*time.Second, func() error {
						master, _ := b.c.Master(b.Context())
						if info := b.c.Node(master).Info(b.Context(),
							"replication").Val(); strings.Contains(info, "127.0.0.99") ||
							!strings.Contains(info, "slave1:") {
							return fmt.Errorf("not attached again: %s", info)
						}
						return nil
					})
					b.sentinels(nil, "sentinel", "reset", b.d.Spec.MasterName)
				}
			}},
		{"a sentinel that nobody configured", []string{"stale-sentinels"},
			func(b broken) func() {
				h := b.d.Spec.Hosts[0]
				text, err := os.ReadFile(filepath.Join(h.Dir, "sentinel.conf"))
				if err != nil {
					b.Fatal(err)
				}
				var lines []string
				port := redistest.FreePort(b)
				for line := range strings.Lines(string(text)) {
					if strings.HasPrefix(line, "sentinel myid") ||
						strings.HasPrefix(line, "sentinel known-") {
						continue
					}
					lines = append(lines,
						strings.ReplaceAll(line, fmt.Sprint(h.SentinelPort), fmt.Sprint(port)))
				}
				file := filepath.Join(t.TempDir(), "sentinel.conf")
				if err := os.WriteFile(file, []byte(strings.Join(lines, "")),
					0o600); err != nil {
					b.Fatal(err)
				}
				fourth := redistest.StartFile(t, redistest.Server{Host: h.Address, Port: port,
					Username: "switchyard", Password: b.d.Spec.Secrets.Admin.Reveal(),
					CAFile: b.d.Endpoint().CAFile}, file, "--sentinel")
				return func() {
					fourth.Kill()
					b.sentinels(nil, "sentinel", "reset", b.d.Spec.MasterName)
				}
			}},
		{"a sentinel whose clock jumped", []string{"tilt"}, func(b broken) func() {
			s := b.d.Guards[b.d.Spec.Hosts[2].SentinelAddr()]
			s.Freeze()
			// the fault itself: TILT needs a process that stood still for 2 s or
			// more
			<-time.After(3 * time.Second)
			s.Thaw()
			return nil // it lasts 30 s; this is the last case
		}},
	} {
		ok := t.Run(tc.rule, func(t *testing.T) {
			b := broken{t, d, c}
			start := time.Now()
			undo := tc.make(b)
			var ids []string
			redistest.Eventually(t, 30*time.Second, func() error {
				ids = failing(t, c)
				for _, id := range tc.want {
					if !slices.Contains(ids, id) {
						return fmt.Errorf("want %v among the failing checks, got %v",
							tc.want, ids)
					}
				}
				return nil
			})
			t.Logf("%v after %s", ids, time.Since(start))
			if undo != nil {
				undo()
				d.AwaitReady(c)
			}
		})
		if !ok {
			return
		}
	}
}

// Two hosts that are one, and one node of another version (another build of the
// same program).
func TestReadinessDetectsOneHostAndAnotherVersion(t *testing.T) {
	t.Parallel()
	s := deploytest.Spec(t, t.TempDir(), 1)
	s.Hosts[1].Address = s.Hosts[0].Address
	d := deploytest.Start(t, s, map[string]string{"b": anotherVersion(t)})
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	redistest.Eventually(t, 30*time.Second, func() error {
		if ids := failing(t, c); !slices.Equal(ids, []string{"same-host", "version"}) {
			return fmt.Errorf("failing checks: %v", ids)
		}
		return nil
	})
}

// anotherVersion is the installed redis-server with another patch level written
// into it.
func anotherVersion(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := redistest.Start(t)
	f, err := redisconn.Inspect(t.Context(), srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	last := len(f.Version) - 1
	other := f.Version[:last] + string('0'+(f.Version[last]-'0'+1)%10)
	file := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(file, bytes.ReplaceAll(program, []byte("\x00"+f.Version+"\x00"),
		[]byte("\x00"+other+"\x00")), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}
