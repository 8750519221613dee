package redisconn

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Client is one connection as CLIENT LIST shows it.
type Client struct {
	ID      int64  `json:"id"`
	Addr    string `json:"addr"`
	Name    string `json:"name"`
	User    string `json:"user"`
	Cmd     string `json:"cmd"` // last command
	AgeSec  int64  `json:"age_sec"`
	IdleSec int64  `json:"idle_sec"`
	Flags   string `json:"flags"`
	// name and version, if the client reports them to Redis 7.2 or later
	Library string `json:"library,omitempty"`
}

// ForeignClients lists who else is connected: everybody who sent a command except
// Switchyard (by its client name), replicas and masters, and sentinels.
func ForeignClients(ctx context.Context, c redis.UniversalClient) ([]Client, error) {
	all, err := clients(ctx, c)
	return slices.DeleteFunc(all, func(cl Client) bool { return !cl.foreign() }), err
}

func clients(ctx context.Context, c redis.UniversalClient) ([]Client, error) {
	text, err := c.ClientList(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", Explain(err))
	}
	var out []Client
	for line := range strings.Lines(text) {
		out = append(out, parseClient(line))
	}
	return out, nil
}

func parseClient(line string) Client {
	f := map[string]string{}
	for _, field := range strings.Fields(line) {
		k, v, _ := strings.Cut(field, "=")
		f[k] = v
	}
	number := func(k string) int64 { n, _ := strconv.ParseInt(f[k], 10, 64); return n }
	return Client{ID: number("id"), Addr: f["addr"], Name: f["name"], User: f["user"],
		Cmd:    f["cmd"],
		AgeSec: number("age"), IdleSec: number("idle"), Flags: f["flags"],
		Library: strings.TrimSpace(f["lib-name"] + " " + f["lib-ver"])}
}

// foreign leaves out connections that have not sent anything yet: they have used
// nothing, and one of our own may just be authenticating.
func (c Client) foreign() bool {
	return c.ID != 0 && c.Cmd != "NULL" && !belongs(c.Name) &&
		!strings.ContainsAny(c.Flags, "SM")
}

// belongs reports whether a connection's name is ours or a sentinel's.
func belongs(name string) bool {
	return strings.HasPrefix(name, ClientName) || strings.HasPrefix(name, "sentinel-")
}

// housekeeping are commands that do not use the data: monitoring, authentication,
// replication, sentinels' hellos.
var housekeeping = map[string]bool{"info": true, "client": true, "ping": true, "config": true,
	"hello": true, "auth": true, "acl": true, "role": true,
	"dbsize": true, "replconf": true, "psync": true, "sync": true, "publish": true,
	"subscribe": true, "slowlog": true, "latency": true,
	"memory": true, "monitor": true, "select": true, "command": true, "multi": true,
	"exec": true, "time": true, "quit": true}

// sample is the state of the counters at one moment.
type sample struct {
	runID, lastSave string
	replica         bool
	changes         int64
	commands        map[string]int64
	refused         int64            // attempts: NOREPLICAS, NOPERM, NOAUTH, READONLY
	rejected        map[string]int64 // by command, including those inside scripts
	ownIssued       map[string]int64
	ownAnswered     map[string]int64
}

func takeSample(ctx context.Context, c redis.UniversalClient) (sample, error) {
	var s sample
	own, counted := c.(*conn)
	// before the server's counters: any of our commands the server counts later is
	// missing here
	if counted {
		s.ownAnswered = own.used.copyOf(own.used.answered)
	}
	text, err := c.Info(ctx, "all").Result()
	if err != nil {
		return s, Explain(err)
	}
	// after the server's counters: all of our commands that the server counted are
	// included here
	if counted {
		s.ownIssued = own.used.copyOf(own.used.issued)
	}
	info := ParseInfo(text)
	s.runID, s.lastSave, s.replica = info["run_id"], info["rdb_last_save_time"],
		info["role"] == "slave"
	s.changes = Unreported
	if n, err := strconv.ParseInt(info["rdb_changes_since_last_save"], 10, 64); err == nil {
		s.changes = n
	}
	s.commands, s.rejected = map[string]int64{}, map[string]int64{}
	for k, v := range info {
		switch name, isCommand := strings.CutPrefix(k, "cmdstat_"); {
		case isCommand:
			name, _, _ = strings.Cut(name, "|")
			s.commands[name] += infoField(v, "calls=")
			s.rejected[name] += infoField(v, "rejected_calls=")
		case k == "errorstat_NOREPLICAS", k == "errorstat_NOPERM", k == "errorstat_NOAUTH",
			k == "errorstat_READONLY":
			s.refused += infoField(v, "count=")
		}
	}
	return s, nil
}

func infoField(v, name string) int64 {
	for f := range strings.SplitSeq(v, ",") {
		if n, ok := strings.CutPrefix(f, name); ok {
			i, _ := strconv.ParseInt(n, 10, 64)
			return i
		}
	}
	return 0
}
