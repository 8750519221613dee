package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// facts is everything that was read of one server. What is denied has its reason in an
// error text.
type facts struct {
	address     string
	tls         *tls.ConnectionState // of a connection to it; nil without TLS
	tlsErr      string               // why the connection's certificate is not known
	info        map[string]string
	config      map[string]string // settings by name, only those that checks read
	configErr   string
	openDefault bool // a client without a password is let in
	openErr     string
	users       int      // in the access list
	openUsers   []string // users besides the default one who need no password
	usersErr    string
	slow        []redis.SlowLog
	slowErr     string
	spikes      []spike
	spikesErr   string
	answer      time.Duration // median of PING
	local       *kernel       // nil: the server is not on this machine
	scan        *scan
	census      *bullmq.Survey
	censusNote  string
}

// spike is one line of LATENCY LATEST.
type spike struct {
	event string
	max   time.Duration // since the server started
}

// kernel is what the machine says of itself.
type kernel struct {
	overcommit string // vm.overcommit_memory
	hugePages  string // the chosen word of transparent_hugepage/enabled
}

// settings are what checks read. Everything else, passwords among it, is dropped at once.
var settings = []string{"maxmemory-policy", "save", "appendfsync", "bind", "protected-mode",
	"port", "timeout", "tcp-keepalive", "maxclients", "client-output-buffer-limit",
	"slowlog-log-slower-than",
	"latency-monitor-threshold", "min-replicas-to-write", "repl-backlog-size"}

// pings is how many answers the median is of.
const pings = 21

func gather(ctx context.Context, c redis.UniversalClient, o Options) (*facts, error) {
	f := &facts{config: map[string]string{}, census: o.Census, censusNote: o.CensusNote}
	basic, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return nil, err
	}
	if slices.Contains(basic.Unknown, "default_user_nopass") {
		f.openErr =
			"the server tells neither who may sign in (ACL) nor how it treats a stranger"
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
		f.configErr = "the server does not let this user read its settings (CONFIG GET)"
	case err != nil:
		return nil, fmt.Errorf("audit: CONFIG GET: %w", redisconn.Explain(err))
	case all["maxmemory-policy"] == "":
		f.configErr = "the server tells hardly any of its settings (CONFIG GET)"
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

// accessList keeps names alone: the lines hold hashes of passwords.
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
		f.spikes = append(f.spikes, spike{name, time.Duration(ms) * time.Millisecond})
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

// connection notes where the server is reached, and what it shows of its certificate.
func (f *facts) connection(ctx context.Context, c redis.UniversalClient) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		f.tlsErr = "the kind of connection is not known"
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
		f.tlsErr = "its certificate could not be looked at"
		return
	}
	defer nc.Close()
	t, ok := nc.(*tls.Conn)
	if !ok || t.HandshakeContext(ctx) != nil {
		f.tlsErr = "its certificate could not be looked at"
		return
	}
	s := t.ConnectionState()
	f.tls = &s
}

// machine reads what the kernel says, where the server's process is one of this
// machine: its title holds its port.
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

// number reads a number of INFO.
func (f *facts) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.info[name], 10, 64)
	return n, err == nil
}

// setting reads a number of the configuration.
func (f *facts) setting(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.config[name], 10, 64)
	return n, err == nil
}

func (f *facts) version() string {
	if v := f.info["valkey_version"]; v != "" {
		return v
	}
	return f.info["redis_version"]
}

// expiring is how many keys have an expiry, of all databases; -1 when the server does
// not say.
func (f *facts) expiring() int64 {
	sum := int64(0)
	for k, v := range f.info {
		if !strings.HasPrefix(k, "db") || !strings.HasPrefix(v, "keys=") {
			continue
		}
		_, rest, ok := strings.Cut(v, "expires=")
		n, _, _ := strings.Cut(rest, ",")
		count, err := strconv.ParseInt(n, 10, 64)
		if !ok || err != nil {
			return -1
		}
		sum += count
	}
	return sum
}

// loopback reports whether an address, or a host:port, is of the machine itself.
func loopback(address string) bool {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	ip := net.ParseIP(strings.Trim(address, "[]"))
	return address == "localhost" || ip != nil && ip.IsLoopback()
}

// listens says where the server takes connections: "loopback", "private" (addresses of
// private networks), "everywhere", or "" when it does not say.
func (f *facts) listens() string {
	bind, known := f.config["bind"]
	if !known {
		return ""
	}
	where := "loopback"
	addresses := strings.Fields(bind)
	if len(addresses) == 0 {
		return "everywhere"
	}
	for _, a := range addresses {
		a = strings.TrimPrefix(a, "-")
		ip := net.ParseIP(a)
		switch {
		case loopback(a):
		case ip != nil && ip.IsPrivate():
			where = "private"
		default:
			return "everywhere"
		}
	}
	return where
}
