package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// Unreported is the value of a number the server did not report. Managed services
// omit whole sections of INFO.
const Unreported = -1

// Facts is what one server reports about itself. What it does not report stays ""
// or Unreported and is listed in Unknown by its JSON name; a flag listed there is
// false without meaning it.
type Facts struct {
	Role    string `json:"role"`    // INFO replication: master or slave
	Version string `json:"version"` // INFO server: redis_version
	// INFO server: changes with each start; "" if not reported
	RunID            string `json:"run_id"`
	MaxMemoryPolicy  string `json:"max_memory_policy"` // noeviction, allkeys-lru ...
	PolicySource     string `json:"policy_source"`     // "CONFIG GET" or "INFO memory"
	MaxMemory        int64  `json:"max_memory"`        // bytes; 0 means no limit
	UsedMemory       int64  `json:"used_memory"`       // bytes
	UsedMemoryPeak   int64  `json:"used_memory_peak"`  // bytes
	EvictedKeys      int64  `json:"evicted_keys"`      // since the server started
	ConnectedClients int64  `json:"connected_clients"`
	BlockedClients   int64  `json:"blocked_clients"`
	Keys             int64  `json:"keys"`            // in all databases
	OtherDatabases   []int  `json:"other_databases"` // databases besides 0 that hold keys
	AOFEnabled       bool   `json:"aof_enabled"`     // append-only file
	// CONFIG GET save; "" means no snapshots, if known
	SavePoints        string `json:"save_points"`
	LastBgsaveOK      bool   `json:"last_bgsave_ok"`     // rdb_last_bgsave_status
	LastAOFWriteOK    bool   `json:"last_aof_write_ok"`  // aof_last_write_status
	ConnectedReplicas int    `json:"connected_replicas"` // of a master
	MasterHost        string `json:"master_host"`        // of a replica
	MasterPort        string `json:"master_port"`        // of a replica
	MasterLinkUp      bool   `json:"master_link_up"`     // of a replica
	// bytes: master_repl_offset, or slave_repl_offset of a replica
	ReplOffset    int64 `json:"repl_offset"`
	MinReplicas   int64 `json:"min_replicas"` // min-replicas-to-write
	UptimeSeconds int64 `json:"uptime_seconds"`
	// clients are accepted without a password
	DefaultUserNoPass bool `json:"default_user_nopass"`

	Unknown []string `json:"unknown,omitempty"`
}

// Inspect reads a server's facts: INFO, CONFIG GET if allowed, and whether clients
// need a password. It changes nothing. It fails only if INFO itself fails.
func Inspect(ctx context.Context, c redis.UniversalClient) (Facts, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return Facts{}, fmt.Errorf("inspect: %w", Explain(err))
	}
	i := infoReader{values: ParseInfo(text)}
	f := Facts{
		Role:             i.text("role", "role"),
		Version:          i.text("version", "redis_version"),
		RunID:            i.values["run_id"],
		MaxMemory:        i.number("max_memory", "maxmemory"),
		UsedMemory:       i.number("used_memory", "used_memory"),
		UsedMemoryPeak:   i.number("used_memory_peak", "used_memory_peak"),
		EvictedKeys:      i.number("evicted_keys", "evicted_keys"),
		ConnectedClients: i.number("connected_clients", "connected_clients"),
		BlockedClients:   i.number("blocked_clients", "blocked_clients"),
		AOFEnabled:       i.is("aof_enabled", "aof_enabled", "1"),
		LastBgsaveOK:     i.is("last_bgsave_ok", "rdb_last_bgsave_status", "ok"),
		LastAOFWriteOK:   i.is("last_aof_write_ok", "aof_last_write_status", "ok"),
		UptimeSeconds:    i.number("uptime_seconds", "uptime_in_seconds"),
		MinReplicas:      Unreported,
	}
	f.Keys, f.OtherDatabases = i.keyspace()
	if f.Role == "slave" {
		f.MasterHost, f.MasterPort = i.values["master_host"], i.values["master_port"]
		f.MasterLinkUp = i.is("master_link_up", "master_link_status", "up")
		f.ReplOffset = i.number("repl_offset", "slave_repl_offset")
	} else {
		f.ReplOffset = i.number("repl_offset", "master_repl_offset")
	}
	f.ConnectedReplicas = int(i.number("connected_replicas", "connected_slaves"))

	config, err := getConfig(ctx, c, "maxmemory-policy", "save", "min-replicas-to-write")
	switch {
	case err == nil && config["maxmemory-policy"] != "":
		f.MaxMemoryPolicy, f.PolicySource = config["maxmemory-policy"], "CONFIG GET"
	case err != nil && !isDenied(err):
		return Facts{}, fmt.Errorf("inspect: CONFIG GET: %w", Explain(err))
	default:
		if f.MaxMemoryPolicy = i.text("max_memory_policy",
			"maxmemory_policy"); f.MaxMemoryPolicy != "" {
			f.PolicySource = "INFO memory"
		}
	}
	var known bool
	if f.SavePoints, known = config["save"]; !known {
		i.unknown = append(i.unknown, "save_points")
	}
	if n, err := strconv.ParseInt(config["min-replicas-to-write"], 10, 64); err == nil {
		f.MinReplicas = n
	} else {
		i.unknown = append(i.unknown, "min_replicas")
	}
	if f.DefaultUserNoPass, err = letsInWithoutPassword(ctx, c); err != nil {
		i.unknown = append(i.unknown, "default_user_nopass")
	}
	f.Unknown = i.unknown
	return f, nil
}

// Config reads settings by name with CONFIG GET; a setting the server does not have
// is left out. If CONFIG is denied it returns an error of kind Blocked.
func Config(
	ctx context.Context, c redis.UniversalClient, names ...string,
) (map[string]string, error) {
	out, err := getConfig(ctx, c, names...)
	if isDenied(err) {
		return nil, migration.Errorf(migration.Blocked,
			"this user may not read the server's settings (CONFIG GET): %w", err)
	}
	return out, err
}

// getConfig asks for one setting per command: several at once need Redis 7.
func getConfig(
	ctx context.Context, c redis.UniversalClient, names ...string,
) (map[string]string, error) {
	out := map[string]string{}
	for _, n := range names {
		got, err := c.ConfigGet(ctx, n).Result()
		if err != nil {
			return out, err
		}
		for k, v := range got {
			out[k] = v
		}
	}
	return out, nil
}

// letsInWithoutPassword looks up the default user in the access control list. If
// that is denied it opens one unauthenticated connection and sends PING, which
// needs no rights but counts as a refused attempt on the server.
func letsInWithoutPassword(ctx context.Context, c redis.UniversalClient) (bool, error) {
	if user, err := c.Do(ctx, "ACL", "GETUSER", "default").Slice(); err == nil &&
		len(user) >= 2 {
		flags, _ := user[1].([]any)
		return slices.Contains(flags, any("nopass")) && slices.Contains(flags, any("on")), nil
	}
	o, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		return false, fmt.Errorf("a client of type %T does not reveal how it dials", c)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+readTimeout)
	defer cancel()
	nc, err := o.Options().Dialer(ctx, "tcp", o.Options().Addr)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return pingRaw(nc)
}

func pingRaw(nc net.Conn) (bool, error) {
	if _, err := nc.Write([]byte("PING\r\n")); err != nil {
		return false, err
	}
	line, err := bufio.NewReader(nc).ReadString('\n')
	switch {
	case err != nil:
		return false, err
	case strings.HasPrefix(line, "+PONG"):
		return true, nil
	case strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-NOPERM"),
		strings.HasPrefix(line, "-DENIED"):
		return false, nil
	default:
		return false, errors.New("unexpected answer to PING")
	}
}

// ParseInfo parses the "name:value" lines of INFO.
func ParseInfo(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			out[k] = v
		}
	}
	return out
}

// infoReader reads values of INFO and notes what is missing.
type infoReader struct {
	values  map[string]string
	unknown []string
}

func (i *infoReader) text(fact, key string) string {
	v, ok := i.values[key]
	if !ok || v == "" {
		i.unknown = append(i.unknown, fact)
	}
	return v
}

func (i *infoReader) number(fact, key string) int64 {
	n, err := strconv.ParseInt(i.values[key], 10, 64)
	if err != nil {
		i.unknown = append(i.unknown, fact)
		return Unreported
	}
	return n
}

func (i *infoReader) is(fact, key, want string) bool { return i.text(fact, key) == want }

// Databases lists the databases that hold keys, in order.
func Databases(ctx context.Context, c redis.UniversalClient) ([]int, error) {
	text, err := c.Info(ctx, "keyspace").Result()
	if err != nil {
		return nil, Explain(err)
	}
	values := ParseInfo(text)
	_, all := (&infoReader{values: values}).keyspace()
	if values["db0"] != "" {
		all = append([]int{0}, all...)
	}
	return all, nil
}

// keyspace sums the keys of all databases and lists the databases other than 0 that
// hold any. INFO omits empty databases.
func (i *infoReader) keyspace() (keys int64, others []int) {
	for k, v := range i.values {
		db, err := strconv.Atoi(strings.TrimPrefix(k, "db"))
		if err != nil || !strings.HasPrefix(k, "db") || !strings.HasPrefix(v, "keys=") {
			continue
		}
		n, _, _ := strings.Cut(strings.TrimPrefix(v, "keys="), ",")
		count, _ := strconv.ParseInt(n, 10, 64)
		keys += count
		if db != 0 {
			others = append(others, db)
		}
	}
	slices.Sort(others)
	return keys, others
}
