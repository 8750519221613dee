package redistest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// MasterName is the name under which the sentinels of StartSentinel monitor the
// master.
const MasterName = "mymaster"

const failoverTimeout = 6 * time.Second

// Sentinel is a master, its replicas and three sentinels.
type Sentinel struct {
	Nodes     []*Server // Nodes[0] starts as the master
	Sentinels []*Server

	t testing.TB
	s settings
}

// StartSentinel runs a master with replicas and three sentinels (quorum 2) until the
// test ends, and waits until every sentinel knows every replica and both other
// sentinels. The data nodes keep an append-only file and do not evict.
func StartSentinel(t testing.TB, replicas int, opts ...Option) *Sentinel {
	t.Helper()
	s := apply(opts)
	d := &Sentinel{t: t, s: s}
	// repl-diskless-sync-delay 0: a replica is attached at once instead of after
	// the default 5 s.
	common := append([]string{"appendonly yes", "maxmemory-policy noeviction",
		"repl-diskless-sync-delay 0", "repl-ping-replica-period 1"}, s.config...)
	for i := range replicas + 1 {
		node := s
		node.config = common
		if i > 0 {
			node.config = append(append([]string{}, common...),
				fmt.Sprintf("replicaof %s %d", d.Nodes[0].Host, d.Nodes[0].Port))
		}
		d.Nodes = append(d.Nodes, start(t, node))
	}
	for range 3 {
		d.Sentinels = append(d.Sentinels, d.startSentinel())
	}
	d.AwaitHealthy(startDeadline)
	return d
}

func (d *Sentinel) startSentinel() *Server {
	d.t.Helper()
	srv := &Server{Host: "127.0.0.1", Password: d.s.sentinelPassword, Dir: d.t.TempDir(),
		t: d.t, program: "redis-server"}
	master := d.Nodes[0]
	var err error
	for range 5 {
		srv.Port = freePort(d.t)
		lines := []string{
			"bind 127.0.0.1", "port " + strconv.Itoa(srv.Port), "dir " + srv.Dir,
			fmt.Sprintf("sentinel monitor %s %s %d 2", MasterName, master.Host, master.Port),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", MasterName,
				d.s.downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s %d", MasterName,
				failoverTimeout.Milliseconds()),
			fmt.Sprintf("sentinel parallel-syncs %s 1", MasterName),
		}
		if d.s.password != "" {
			lines = append(lines,
				fmt.Sprintf("sentinel auth-pass %s %s", MasterName, d.s.password))
		}
		if d.s.sentinelPassword != "" {
			lines = append(lines, "requirepass "+d.s.sentinelPassword,
				"sentinel sentinel-pass "+d.s.sentinelPassword)
		}
		srv.args = append(arguments(d.t, srv.Dir, "sentinel.conf", lines, false), "--sentinel")
		if err = srv.run(); err == nil {
			return srv
		}
	}
	d.t.Fatalf("redistest: sentinel (%s): %v", filepath.Base(srv.Dir), err)
	return nil
}

// Endpoint describes the deployment the way Switchyard's configuration does.
func (d *Sentinel) Endpoint() redisconn.Endpoint {
	e := redisconn.Endpoint{Name: "sentinel", Kind: redisconn.Sentinel, MasterName: MasterName,
		Password:         migration.Secret(d.s.password),
		SentinelPassword: migration.Secret(d.s.sentinelPassword)}
	for _, s := range d.Sentinels {
		e.SentinelAddrs = append(e.SentinelAddrs, s.Addr())
	}
	return e
}

// Client opens a failover client as Switchyard does, closed when the test ends.
func (d *Sentinel) Client() redis.UniversalClient {
	d.t.Helper()
	c, err := redisconn.Open(d.Endpoint())
	if err != nil {
		d.t.Fatalf("redistest: %v", err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Node returns the data node at an address.
func (d *Sentinel) Node(addr string) *Server {
	d.t.Helper()
	for _, n := range d.Nodes {
		if n.Addr() == addr {
			return n
		}
	}
	d.t.Fatalf("redistest: no data node at %s", addr)
	return nil
}

// AwaitHealthy waits until every sentinel agrees on the master, sees it and all its
// replicas up, and knows both other sentinels.
func (d *Sentinel) AwaitHealthy(within time.Duration) {
	d.t.Helper()
	Eventually(d.t, within, d.healthy)
}

func (d *Sentinel) healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	masters := map[string]bool{}
	for _, s := range d.Sentinels {
		c := redisconn.SentinelNode(d.Endpoint(), s.Addr())
		defer func() { _ = c.Close() }()
		m, err := c.Master(ctx, MasterName).Result()
		if err != nil {
			return err
		}
		masters[net.JoinHostPort(m["ip"], m["port"])] = true
		if m["flags"] != "master" || m["num-slaves"] != strconv.Itoa(len(d.Nodes)-1) ||
			m["num-other-sentinels"] != strconv.Itoa(len(d.Sentinels)-1) {
			return fmt.Errorf("sentinel %s: flags %s, replicas %s, other sentinels %s",
				s.Addr(), m["flags"], m["num-slaves"], m["num-other-sentinels"])
		}
		replicas, err := c.Replicas(ctx, MasterName).Result()
		if err != nil {
			return err
		}
		for _, r := range replicas {
			if r["flags"] != "slave" || r["master-link-status"] != "ok" {
				return fmt.Errorf("sentinel %s: replica %s:%s flags %s, link %s", s.Addr(),
					r["ip"], r["port"], r["flags"], r["master-link-status"])
			}
		}
	}
	if len(masters) != 1 {
		return fmt.Errorf("the sentinels disagree on the master: %v", masters)
	}
	return nil
}
