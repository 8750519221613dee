package redisconn

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

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
// Switchyard, replicas and masters, and sentinels.
func ForeignClients(ctx context.Context, c redis.UniversalClient) ([]Client, error) {
	all, err := Clients(ctx, c)
	return slices.DeleteFunc(all, func(cl Client) bool { return !cl.foreign() }), err
}

// Clients lists every connection to the server.
func Clients(ctx context.Context, c redis.UniversalClient) ([]Client, error) {
	text, err := c.ClientList(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", Explain(err))
	}
	return parseClients(text), nil
}

func parseClients(text string) []Client {
	out := make([]Client, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		out = append(out, parseClient(line))
	}
	return out
}

func parseClient(line string) Client {
	var c Client
	var version string
	number := func(v string) int64 { n, _ := strconv.ParseInt(v, 10, 64); return n }
	for field := range strings.FieldsSeq(line) {
		switch k, v, _ := strings.Cut(field, "="); k {
		case "id":
			c.ID = number(v)
		case "addr":
			c.Addr = v
		case "name":
			c.Name = v
		case "user":
			c.User = v
		case "cmd":
			c.Cmd = v
		case "age":
			c.AgeSec = number(v)
		case "idle":
			c.IdleSec = number(v)
		case "flags":
			c.Flags = v
		case "lib-name":
			c.Library = v
		case "lib-ver":
			version = v
		}
	}
	c.Library = strings.TrimSpace(c.Library + " " + version)
	return c
}

// foreign leaves out connections that have not sent anything yet: they have used
// nothing, and one of our own may just be authenticating.
func (c Client) foreign() bool {
	return c.ID != 0 && c.Sent() && !c.Ours() && !c.Replicates() && !c.Sentinel()
}

// Sent reports whether it has sent a command yet.
func (c Client) Sent() bool { return c.Cmd != "NULL" }

// Host is where it connects from, without the port.
func (c Client) Host() string {
	if host, _, err := net.SplitHostPort(c.Addr); err == nil {
		return host
	}
	return c.Addr
}

// Ours reports whether this process made the connection, or a peer (see Peers).
func (c Client) Ours() bool { return ours(c.Name) }

// Replicates reports whether it is the link to a replica or to the master: the server
// itself says so.
func (c Client) Replicates() bool { return strings.ContainsAny(c.Flags, "SM") }

// Sentinel reports whether it is a sentinel's: it is named as one names its two
// connections, and its last command is one that a sentinel sends.
func (c Client) Sentinel() bool {
	return c.SentinelID() != "" && housekeeping[strings.ToLower(c.command())]
}

func (c Client) command() string {
	name, _, _ := strings.Cut(c.Cmd, "|")
	return name
}

var sentinelName = regexp.MustCompile(`^sentinel-([0-9a-f]{8})-(cmd|pubsub)$`)

// SentinelID is the beginning of the run id by which a sentinel's connection is named;
// empty for others.
func (c Client) SentinelID() string {
	if m := sentinelName.FindStringSubmatch(c.Name); m != nil {
		return m[1]
	}
	return ""
}

// self is the CLIENT SETNAME of every connection that this process makes. Nobody else
// can have it by accident: it holds 64 random bits.
var self = func() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return ClientName + "-" + hex.EncodeToString(b[:])
}()

// Self is the name by which other processes know this one's connections.
func Self() string { return self }

var peers atomic.Pointer[[]string]

// Peers says by which names (their Self) the other processes of this installation are
// known: their connections are ours too. It replaces what was said before.
func Peers(names []string) {
	names = slices.Clone(names)
	peers.Store(&names)
}

// ours reports whether a connection's name is this process's or a peer's.
func ours(name string) bool {
	if strings.HasPrefix(name, self) {
		return true
	}
	all := peers.Load()
	return all != nil && slices.ContainsFunc(*all, func(peer string) bool {
		return len(peer) == len(self) && strings.HasPrefix(name, peer)
	})
}

// belongs reports whether a connection's name is ours or a sentinel's.
func belongs(name string) bool { return ours(name) || sentinelName.MatchString(name) }

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

// RefusedWrites is how many commands a server has refused since it started because it is a
// replica that takes no writes. O(1).
func RefusedWrites(ctx context.Context, c redis.UniversalClient) (int64, error) {
	text, err := c.Info(ctx, "errorstats").Result()
	if err != nil {
		return 0, Explain(err)
	}
	return infoField(ParseInfo(text)["errorstat_READONLY"], "count="), nil
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
