package twin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// masterName is what the sentinels call the deployment.
const masterName = "mymaster"

// journalServer keeps what the instances of one app did. No step moves it.
const journalServer = "journal"

// redisRestart is how long a dead Redis stays dead: longer than detection plus failover,
// because one that comes back at once, empty or behind, would be taken for healthy.
const redisRestart = 8 * time.Second

// managedLacks are the commands that the managed service does not offer, by its
// documentation of August 2026.
const managedLacks = "-config -client|kill -client|pause -client|unpause -client|no-evict " +
	"-replicaof -slaveof -psync -sync -role -failover -debug -monitor -slowlog -latency -object " +
	"-save -bgsave -bgrewriteaof -lastsave -migrate -swapdb -move -shutdown -sort -sort_ro -module"

// server makes a supervised redis-server. Its configuration file is written once: Redis
// and Sentinel keep the present roles in it.
func (t *Twin) server(name string, sentinel bool, lines ...string) (*process, error) {
	dir := filepath.Join(t.cfg.Dir, name)
	file := filepath.Join(dir, "redis.conf")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if !t.state.initialised(name) {
		lines = append([]string{"bind 127.0.0.1", "dir " + dir, "daemonize no"}, lines...)
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return nil, err
		}
		if err := t.state.setInitialised(name, true); err != nil {
			return nil, err
		}
	}
	argv := []string{"redis-server", file}
	if sentinel {
		argv = append(argv, "--sentinel")
	}
	return t.process(name, dir, redisRestart, func() []string { return argv }, nil), nil
}

func (t *Twin) process(
	name, dir string, restart time.Duration, argv, env func() []string,
) *process {
	return &process{name: name, dir: dir, restart: restart, argv: argv, env: env,
		spawn: t.spawn, pids: t.pids, log: t.log,
		logFile: filepath.Join(t.cfg.Dir, "logs", name+".log")}
}

// stored are the settings of a server that keeps jobs.
var stored = []string{
	"appendonly yes",
	"appendfsync everysec",
	`save ""`,
	"maxmemory 512mb",
	"repl-diskless-sync yes",
	"repl-diskless-sync-delay 0",
	"repl-backlog-size 32mb",
}

func (t *Twin) makeServers() error {
	s := t.state
	add := func(name string, sentinel bool, lines ...string) error {
		p, err := t.server(name, sentinel, lines...)
		t.servers[name] = p
		return err
	}
	password := s.Secrets["linode"]
	// The fault that the audit is there to find.
	err := add("linode", false, append([]string{
		fmt.Sprintf("port %d", s.Ports["linode"]), "requirepass " + password,
		"maxmemory-policy allkeys-lru",
	}, stored...)...)
	if t.cfg.Fleet && err == nil {
		err = add(journalServer, false, fmt.Sprintf("port %d", s.Ports[journalServer]),
			"requirepass "+s.Secrets[journalServer], "appendonly yes", "appendfsync always",
			`save ""`, "maxmemory-policy noeviction")
	}
	for i := 1; i <= 3 && err == nil; i++ {
		name := fmt.Sprintf("node-%d", i)
		lines := append([]string{
			fmt.Sprintf("port %d", s.Ports[name]), "requirepass " + s.Secrets["sentinel"],
			"masterauth " + s.Secrets["sentinel"], "maxmemory-policy noeviction",
		}, stored...)
		if i > 1 {
			lines = append(lines, fmt.Sprintf("replicaof 127.0.0.1 %d", s.Ports["node-1"]))
		}
		err = add(name, false, lines...)
	}
	for i := 1; i <= 3 && err == nil; i++ {
		name := fmt.Sprintf("sentinel-%d", i)
		err = add(name, true, fmt.Sprintf("port %d", s.Ports[name]), "protected-mode no",
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", masterName, s.Ports["node-1"]),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", masterName,
				t.cfg.DownAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 6000", masterName),
			fmt.Sprintf("sentinel parallel-syncs %s 1", masterName),
			fmt.Sprintf("sentinel auth-pass %s %s", masterName, s.Secrets["sentinel"]))
	}
	return err
}

// startManaged starts the managed Redis with the password its database has. It runs only
// while a database exists.
func (t *Twin) startManaged(ctx context.Context, password string) error {
	_, cert, key, err := certificates(filepath.Join(t.cfg.Dir, "tls"))
	if err != nil {
		return err
	}
	p, err := t.server("managed", false, append([]string{
		"port 0", fmt.Sprintf("tls-port %d", t.state.Ports["managed"]),
		"tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + t.caFile,
		"tls-auth-clients no", "maxmemory-policy noeviction",
		fmt.Sprintf("user default on >%s ~* &* +@all %s", password, managedLacks),
	}, stored...)...)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.servers["managed"] = p
	t.mu.Unlock()
	if err := p.start(); err != nil {
		return err
	}
	return awaitRedis(ctx, t.managedEndpoint(password))
}

func (t *Twin) managedEndpoint(password string) redisconn.Endpoint {
	return redisconn.Endpoint{
		Name:   "managed",
		Kind:   redisconn.Managed,
		URL:    migration.Secret("rediss://default:" + password + "@" + t.state.address("managed")),
		CAFile: t.caFile,
	}
}

func (t *Twin) endpoint(name string) redisconn.Endpoint {
	password := t.state.Secrets["sentinel"]
	if name == "linode" || name == journalServer {
		password = t.state.Secrets[name]
	}
	return redisconn.Endpoint{
		Name: name,
		Kind: redisconn.Standalone,
		URL:  migration.Secret("redis://:" + password + "@" + t.state.address(name)),
	}
}

func (t *Twin) sentinelEndpoint() redisconn.Endpoint {
	return redisconn.Endpoint{
		Name:       "sentinel",
		Kind:       redisconn.Sentinel,
		MasterName: masterName,
		Password:   migration.Secret(t.state.Secrets["sentinel"]),
		SentinelAddrs: []string{
			t.state.address("sentinel-1"),
			t.state.address("sentinel-2"),
			t.state.address("sentinel-3"),
		},
	}
}

// awaitRedis waits until a server answers.
func awaitRedis(ctx context.Context, e redisconn.Endpoint) error {
	c, err := redisconn.Open(e)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return poll(ctx, 20*time.Second, e.Name, func(ctx context.Context) error {
		return redisconn.Ping(ctx, c)
	})
}

func (t *Twin) sentinelClient(name string) *redis.SentinelClient {
	return redis.NewSentinelClient(&redis.Options{
		Addr: t.state.address(name), MaxRetries: -1,
		DialTimeout: time.Second, ReadTimeout: time.Second,
	})
}

// looksOften has a sentinel ask its servers every second instead of every 10 s, once it
// answers. It shortens, as the windows of the configuration do, what a person waits for
// here: until an old master that came back is a replica. Detection and election are as
// everywhere.
func (t *Twin) looksOften(ctx context.Context, name string) error {
	c := t.sentinelClient(name)
	defer func() { _ = c.Close() }()
	return poll(ctx, 20*time.Second, name, func(ctx context.Context) error {
		err := c.Process(ctx, redis.NewStatusCmd(ctx, "sentinel", "debug", "info-period", 1000))
		if reply := redis.Error(nil); errors.As(err, &reply) {
			return nil // before Redis 7 there is no such command, and it takes the 10 s
		}
		return err
	})
}

// awaitSentinel waits until a sentinel sees the master, both replicas and the two others.
func (t *Twin) awaitSentinel(ctx context.Context, name string) error {
	c := t.sentinelClient(name)
	defer func() { _ = c.Close() }()
	return poll(ctx, 30*time.Second, name, func(ctx context.Context) error {
		m, err := c.Master(ctx, masterName).Result()
		if err != nil {
			return err
		}
		if m["num-other-sentinels"] != "2" || m["num-slaves"] < "2" {
			return fmt.Errorf("it knows %s replicas and %s other sentinels", m["num-slaves"],
				m["num-other-sentinels"])
		}
		return nil
	})
}

// poll asks until there is no error, or gives the last one when the time is over.
func poll(
	ctx context.Context, within time.Duration, what string, ask func(context.Context) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w", what, within, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
