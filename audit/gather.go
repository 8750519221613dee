package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
)

// settings are those that checks read. Everything else, including passwords, is
// dropped at once.
var settings = []string{"maxmemory-policy", "save", "appendfsync", "bind", "protected-mode",
	"port", "timeout", "tcp-keepalive", "maxclients", "client-output-buffer-limit",
	"slowlog-log-slower-than",
	"latency-monitor-threshold", "min-replicas-to-write", "repl-backlog-size"}

// pings is how many round trips the median is taken from.
const pings = 21

func gather(ctx context.Context, c redis.UniversalClient, o Options) (*facts, error) {
	f := &facts{config: map[string]string{}, census: o.Census, censusNote: o.CensusNote}
	basic, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return nil, err
	}
	if slices.Contains(basic.Unknown, "default_user_nopass") {
		f.openErr =
			"the server reveals neither its users (ACL) nor how it treats unauthenticated clients"
	}
	f.openDefault = basic.DefaultUserNoPass
	text, err := c.Info(ctx, "all").Result()
	if isReply(err) {
		text, err = c.Info(ctx).Result()
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", redisconn.Explain(err))
	}
	f.info = parseInfo(text)
	all, err := c.ConfigGet(ctx, "*").Result()
	switch {
	case isReply(err):
		f.configErr = "this user may not read the server's settings (CONFIG GET)"
	case err != nil:
		return nil, fmt.Errorf("audit: CONFIG GET: %w", redisconn.Explain(err))
	case all["maxmemory-policy"] == "":
		f.configErr = "the server reveals hardly any settings (CONFIG GET)"
	}
	for _, name := range settings {
		if v, ok := all[name]; ok {
			f.config[name] = v
		}
	}
	if f.slow, err = c.SlowLogGet(ctx, 128).Result(); err != nil {
		if f.slowErr = "the server does not allow SLOWLOG"; !isReply(err) {
			return nil, fmt.Errorf("audit: SLOWLOG: %w", redisconn.Explain(err))
		}
	}
	if err := f.accessList(ctx, c); err != nil {
		return nil, fmt.Errorf("audit: ACL: %w", redisconn.Explain(err))
	}
	if err := f.latency(ctx, c); err != nil {
		return nil, fmt.Errorf("audit: LATENCY: %w", redisconn.Explain(err))
	}
	if err := f.ping(ctx, c); err != nil {
		return nil, fmt.Errorf("audit: PING: %w", redisconn.Explain(err))
	}
	f.connection(ctx, c)
	f.local = machine(o.kernel, f.info["process_id"], f.info["tcp_port"])
	if !o.NoScan {
		if f.scan, err = scanKeys(ctx, c, o, f.expiring() == 0); err != nil {
			return nil, fmt.Errorf("audit: SCAN: %w", redisconn.Explain(err))
		}
	}
	return f, nil
}

func isReply(err error) bool {
	_, is := errors.AsType[redis.Error](err)
	return is
}

func parseInfo(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			out[k] = v
		}
	}
	return out
}

// accessList keeps only names: the lines hold password hashes.
func (f *facts) accessList(ctx context.Context, c redis.UniversalClient) error {
	lines, err := c.Do(ctx, "ACL", "LIST").StringSlice()
	if isReply(err) {
		f.usersErr = "the server does not allow ACL LIST"
		return nil
	}
	f.users = len(lines)
	for _, l := range lines {
		if words := strings.Fields(l); len(words) > 2 && words[1] != "default" &&
			slices.Contains(words, "on") && slices.Contains(words, "nopass") {
			f.openUsers = append(f.openUsers, words[1])
		}
	}
	return err
}

func (f *facts) latency(ctx context.Context, c redis.UniversalClient) error {
	lines, err := c.Do(ctx, "LATENCY", "LATEST").Slice()
	if isReply(err) {
		f.spikesErr = "the server does not allow LATENCY"
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range lines {
		fields, _ := l.([]any)
		if len(fields) < 4 {
			continue
		}
		name, _ := fields[0].(string)
		ms, _ := fields[3].(int64)
		at, _ := fields[1].(int64)
		f.spikes = append(f.spikes, spike{name, time.Duration(ms) * time.Millisecond, at})
	}
	return nil
}

func (f *facts) ping(ctx context.Context, c redis.UniversalClient) error {
	var took []time.Duration
	for range pings {
		started := time.Now()
		if err := c.Ping(ctx).Err(); err != nil {
			return err
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	f.answer = took[len(took)/2]
	return nil
}

// connection records the address the server is reached at and its certificate.
func (f *facts) connection(ctx context.Context, c redis.UniversalClient) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		f.tlsErr = "the kind of connection is unknown"
		return
	}
	o := has.Options()
	f.address = o.Addr
	if o.TLSConfig == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	nc, err := o.Dialer(ctx, "tcp", o.Addr)
	if err != nil {
		f.tlsErr = "its certificate could not be inspected"
		return
	}
	defer nc.Close()
	t, ok := nc.(*tls.Conn)
	if !ok || t.HandshakeContext(ctx) != nil {
		f.tlsErr = "its certificate could not be inspected"
		return
	}
	s := t.ConnectionState()
	f.tls = &s
}

// machine reads the kernel's settings if the server's process runs on this machine:
// its title holds its port.
func machine(root, pid, port string) *kernel {
	if _, err := strconv.Atoi(pid); err != nil {
		return nil
	}
	title, err := os.ReadFile(filepath.Join(root, "/proc", pid, "cmdline"))
	if err != nil || !strings.Contains(string(title), "redis") &&
		!strings.Contains(string(title), "valkey") ||
		!strings.Contains(string(title), ":"+port) {
		return nil
	}
	k := &kernel{}
	if b, err := os.ReadFile(filepath.Join(root,
		"/proc/sys/vm/overcommit_memory")); err == nil {
		k.overcommit = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile(filepath.Join(root,
		"/sys/kernel/mm/transparent_hugepage/enabled")); err == nil {
		_, rest, _ := strings.Cut(string(b), "[")
		k.hugePages, _, _ = strings.Cut(rest, "]")
	}
	return k
}
