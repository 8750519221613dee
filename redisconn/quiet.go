package redisconn

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

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
}

// ForeignClients lists who else is connected: everybody who sent a command but Switchyard (by its client name), replicas
// and masters, and sentinels.
func ForeignClients(ctx context.Context, c redis.UniversalClient) ([]Client, error) {
	text, err := c.ClientList(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", Explain(err))
	}
	var out []Client
	for line := range strings.Lines(text) {
		if cl := parseClient(line); cl.foreign() {
			out = append(out, cl)
		}
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
	return Client{ID: number("id"), Addr: f["addr"], Name: f["name"], User: f["user"], Cmd: f["cmd"],
		AgeSec: number("age"), IdleSec: number("idle"), Flags: f["flags"]}
}

// foreign leaves out connections that have not sent anything yet: they used nothing, and one of our own may just be signing in.
func (c Client) foreign() bool {
	return c.ID != 0 && c.Cmd != "NULL" && !strings.HasPrefix(c.Name, ClientName) && !strings.HasPrefix(c.Name, "sentinel-") && !strings.ContainsAny(c.Flags, "SM")
}

// QuietReport says whether anybody but this process used a server during a window, and by which signs.
type QuietReport struct {
	Quiet    bool             `json:"quiet"`
	Reasons  []string         `json:"reasons"` // why it is not quiet, for people
	WindowMS int64            `json:"window_ms"`
	Clients  []Client         `json:"clients"`  // seen connected at any look
	Changes  int64            `json:"changes"`  // writes during the window, by rdb_changes_since_last_save; Unreported when not told
	Commands map[string]int64 `json:"commands"` // commands of others, by name, without those that only look after the server
	Knocks   int64            `json:"knocks"`   // refused attempts: NOREPLICAS, NOPERM, NOAUTH, READONLY
}

// housekeeping are commands that do not use the data: monitoring, sign-in, replication, sentinels' hellos.
var housekeeping = map[string]bool{"info": true, "client": true, "ping": true, "config": true, "hello": true, "auth": true, "acl": true, "role": true,
	"dbsize": true, "replconf": true, "psync": true, "sync": true, "publish": true, "subscribe": true, "slowlog": true, "latency": true,
	"memory": true, "monitor": true, "select": true, "command": true, "multi": true, "exec": true, "time": true, "quit": true}

// sample is the state of the counters at one moment.
type sample struct {
	runID, lastSave string
	replica         bool
	changes         int64
	commands        map[string]int64
	knocks          int64
	ownIssued       map[string]int64
	ownAnswered     map[string]int64
}

// Quiet watches the server for a window and reports whether anybody but this process used it: connected clients (looked at ten times,
// at most every 5 s), writes, and commands in INFO commandstats that this process did not send through a client of Open or Node. Commands
// that only look after the server (INFO, PING, CONFIG ...) do not count. Writes and scripts of this process
// do count (a script shows as the commands inside it), so run none during the window. The server need not be fenced; when it is, refused attempts are counted as knocks.
//
// A server that does not report commandstats (managed services) is judged by clients and writes; one that reports neither writes nor
// commands is never called quiet.
func Quiet(ctx context.Context, c redis.UniversalClient, window time.Duration) (QuietReport, error) {
	r := QuietReport{WindowMS: window.Milliseconds(), Commands: map[string]int64{}}
	before, err := takeSample(ctx, c)
	if err != nil {
		return r, fmt.Errorf("quiet: %w", err)
	}
	if err := watchClients(ctx, c, window, &r); err != nil {
		return r, fmt.Errorf("quiet: %w", err)
	}
	after, err := takeSample(ctx, c)
	if err != nil {
		return r, fmt.Errorf("quiet: %w", err)
	}
	r.judge(before, after)
	return r, nil
}

func watchClients(ctx context.Context, c redis.UniversalClient, window time.Duration, r *QuietReport) error {
	end := time.NewTimer(window)
	defer end.Stop()
	tick := time.NewTicker(min(max(window/10, time.Millisecond), 5*time.Second))
	defer tick.Stop()
	seen := map[int64]bool{}
	for {
		clients, err := ForeignClients(ctx, c)
		if err != nil {
			return err
		}
		for _, cl := range clients {
			if !seen[cl.ID] {
				seen[cl.ID] = true
				r.Clients = append(r.Clients, cl)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return nil
		case <-tick.C:
		}
	}
}

func takeSample(ctx context.Context, c redis.UniversalClient) (sample, error) {
	var s sample
	own, counted := c.(*conn)
	if counted { // before the server's counters: every own command the server counts later is missing here
		s.ownAnswered = own.used.copyOf(own.used.answered)
	}
	text, err := c.Info(ctx, "all").Result()
	if err != nil {
		return s, Explain(err)
	}
	if counted { // after the server's counters: every own command the server counted is in here
		s.ownIssued = own.used.copyOf(own.used.issued)
	}
	info := ParseInfo(text)
	s.runID, s.lastSave, s.replica = info["run_id"], info["rdb_last_save_time"], info["role"] == "slave"
	s.changes = Unreported
	if n, err := strconv.ParseInt(info["rdb_changes_since_last_save"], 10, 64); err == nil {
		s.changes = n
	}
	s.commands = map[string]int64{}
	for k, v := range info {
		switch name, isCommand := strings.CutPrefix(k, "cmdstat_"); {
		case isCommand:
			name, _, _ = strings.Cut(name, "|")
			s.commands[name] += infoField(v, "calls=")
		case k == "errorstat_NOREPLICAS", k == "errorstat_NOPERM", k == "errorstat_NOAUTH", k == "errorstat_READONLY":
			s.knocks += infoField(v, "count=")
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

func (r *QuietReport) judge(before, after sample) {
	var reasons []string
	if before.runID != after.runID {
		reasons = append(reasons, "the server restarted during the window")
	}
	for _, c := range r.Clients {
		reasons = append(reasons, fmt.Sprintf("client %s (name %q, last command %s) was connected", c.Addr, c.Name, c.Cmd))
	}
	r.Changes = Unreported
	if after.changes != Unreported && before.changes != Unreported {
		r.Changes = after.changes
		if before.lastSave == after.lastSave { // a snapshot in between starts the count at zero again
			r.Changes = after.changes - before.changes
		}
	}
	// A key that expires on the master reaches its replicas as a DEL. Nobody else can delete on a replica, and any other write shows on the
	// master as well.
	expired := map[string]bool{"del": after.replica, "unlink": after.replica}
	for name := range expired {
		if after.replica && r.Changes != Unreported {
			r.Changes = max(0, r.Changes-(after.commands[name]-before.commands[name]))
		}
	}
	if r.Changes > 0 {
		reasons = append(reasons, fmt.Sprintf("%d writes", r.Changes))
	}
	for name, n := range after.commands {
		delta := n - before.commands[name] - (after.ownIssued[name] - before.ownAnswered[name])
		if delta > 0 && !housekeeping[name] && !expired[name] {
			r.Commands[name] = delta
		}
	}
	for _, name := range sortedKeys(r.Commands) {
		reasons = append(reasons, fmt.Sprintf("%d times %s by somebody else", r.Commands[name], strings.ToUpper(name)))
	}
	if r.Knocks = after.knocks - before.knocks; r.Knocks > 0 {
		reasons = append(reasons, fmt.Sprintf("%d refused attempts", r.Knocks))
	}
	if r.Changes == Unreported && len(after.commands) == 0 {
		reasons = append(reasons, "the server reports neither writes nor commands")
	}
	r.Reasons, r.Quiet = reasons, len(reasons) == 0
}

func sortedKeys(m map[string]int64) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
