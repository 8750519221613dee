package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// lookedThrough is up to how many keys a server is searched for queues; an audit does it gently.
const lookedThrough = 100_000

// standalone says of the single server whether it answers, what its user may do, and whether the
// queues are there.
func (e examiner) standalone(ctx context.Context) []Finding {
	const key = "source.standalone.url"
	endpoint := redisconn.Endpoint{Name: "source", Kind: redisconn.Standalone,
		URL: e.Source.Standalone.URL}
	const next = "Check the address, the password and whether this machine may connect."
	c, err := redisconn.Open(endpoint)
	if err != nil {
		return []Finding{failed(key, err, next, all...)}
	}
	defer func() { _ = c.Close() }()
	if err := redisconn.Ping(ctx, c); err != nil {
		return []Finding{failed(key, fmt.Errorf("%s: %w", endpoint.Address(), err), next, all...)}
	}
	facts, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return []Finding{failed(key, err, "Let the user run INFO: ACL SETUSER name +info.", all...)}
	}
	said := endpoint.Address() + ": " + described(endpoint, facts)
	return append([]Finding{ok(key, said), rights(ctx, c, key)}, e.queues(ctx, c, facts.Keys)...)
}

// described is a server in a line.
func described(e redisconn.Endpoint, f redisconn.Facts) string {
	said := fmt.Sprintf("Redis %s, %s, %d keys, %d connections", f.Version, f.Role, f.Keys,
		f.ConnectedClients)
	if e.TLS() {
		said += ", TLS"
	} else {
		said += ", no TLS"
	}
	if f.MaxMemoryPolicy != "" {
		said += ", maxmemory-policy " + f.MaxMemoryPolicy
	}
	return said
}

// queues says whether each queue is on the server: BullMQ keeps its settings in a key of its own.
func (e examiner) queues(ctx context.Context, c redis.UniversalClient, keys int64) []Finding {
	var missing []string
	for _, name := range e.Queues {
		q := bullmq.ParseQueue(name)
		n, err := c.Exists(ctx, q.Key("meta"), q.Key("id")).Result()
		if err != nil {
			return []Finding{failed("queues", redisconn.Explain(err), "See above.", all...)}
		}
		if n == 0 {
			missing = append(missing, q.String())
		}
	}
	others := fmt.Sprintf("%d keys are too many to be searched here: run switchyard audit", keys)
	if keys <= lookedThrough {
		found, err := bullmq.Look(ctx, c)
		if err != nil {
			return []Finding{failed("queues", err, "See above.", all...)}
		}
		var names []string
		for _, f := range found.Queues() {
			names = append(names, f.String())
		}
		others = "the server holds " + list(names, "no queue")
	}
	if len(missing) > 0 {
		return []Finding{{Key: "queues", State: Fails,
			Said: "not there: " + strings.Join(missing, ", ") + "; " + others,
			Next: "Correct queues, or start the app: BullMQ makes a queue when it is first used.",
			For:  moving}}
	}
	return []Finding{ok("queues", others)}
}

func list(names []string, none string) string {
	const most = 20
	switch {
	case len(names) == 0:
		return none
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// sentinel says whether a failover of the Sentinel deployment would work.
func (e examiner) sentinel(ctx context.Context) []Finding {
	const key = "source.sentinel"
	s := e.Source.Sentinel
	if len(s.Addrs) == 0 {
		return []Finding{{Key: key, State: Absent, Said: "no Sentinel deployment",
			Next: "Generate one with switchyard sentinel generate, and give it here.",
			For:  failover}}
	}
	cluster := sentinel.New(s.Endpoint())
	defer cluster.Close()
	cluster.Zones, cluster.Followers = s.Zones(), e.Source.Followers()
	next := "Run switchyard sentinel check --config with this file."
	checks, err := cluster.Readiness(ctx)
	if err != nil {
		if (s.Username == "" || s.SentinelUsername == "") &&
			strings.Contains(err.Error(), "WRONGPASS") {
			next = "Give username and sentinel_username too, where the user default is off as " +
				"switchyard sentinel generate has it."
		}
		return []Finding{failed(key, err, next, failover...)}
	}
	if bad := migration.Failing(checks); len(bad) > 0 {
		var said []string
		for _, b := range bad {
			said = append(said, b.Title+": "+b.Measured)
		}
		return []Finding{{Key: key, State: Fails, Said: fmt.Sprintf("%d of %d checks fail: %s",
			len(bad), len(checks), strings.Join(said, "; ")), Next: next, For: failover}}
	}
	return []Finding{ok(key, fmt.Sprintf("all %d checks pass", len(checks)))}
}

// right is a command that a step, or the monitor, runs on the source.
type right struct {
	command []string // as ACL DRYRUN takes it
	rule    string   // of an access list
	read    bool     // it changes nothing, so that it can be tried
	needed  []string
}

func (r right) name() string { return strings.ToUpper(strings.ReplaceAll(r.rule, "|", " ")) }

// needs are those commands. Keys are of no queue.
var needs = []right{
	{words("info"), "info", true, all},
	{words("dbsize"), "dbsize", true, all},
	{words("time"), "time", true, all},
	{words("scan 0"), "scan", true, all},
	{words("type switchyard:doctor"), "type", true, all},
	{words("hgetall switchyard:doctor"), "hgetall", true, all},
	{words("lrange switchyard:doctor 0 0"), "lrange", true, all},
	{words("zrange switchyard:doctor 0 0"), "zrange", true, all},
	{words("smembers switchyard:doctor"), "smembers", true, all},
	{words("xrange switchyard:doctor - +"), "xrange", true, all},
	{words("xinfo stream switchyard:doctor"), "xinfo|stream", true, all},
	{words("client list"), "client|list", true, all},
	{words("config get maxmemory-policy"), "config|get", true, noeviction},
	{words("config set maxmemory-policy noeviction"), "config|set", false,
		slices.Concat(noeviction, failover, decommission)},
	{words("replicaof no one"), "replicaof", false, failover},
	{words("client pause 1 write"), "client|pause", false, failover},
	{words("client unpause"), "client|unpause", false, failover},
	{words("client kill id 1"), "client|kill", false, failover},
	{words("eval x 0"), "eval", false, moving},
	{words("dump switchyard:doctor"), "dump", true, moving},
	{words("restore switchyard:doctor 0 x"), "restore", false, moving},
	{words("del switchyard:doctor"), "del", false, moving},
	{words("psync ? -1"), "psync", false, decommission},
	{words("replconf listening-port 1"), "replconf", false, decommission},
}

func words(s string) []string { return strings.Fields(s) }

// rights says which of those commands the user may not run, as the server itself says
// (ACL DRYRUN, Redis 7). Where it does not, those that change nothing are tried.
func rights(ctx context.Context, c redis.UniversalClient, key string) Finding {
	user, err := c.Do(ctx, "ACL", "WHOAMI").Text()
	dry := err == nil
	var denied []right
	var untold []string
	for _, r := range needs {
		may, told := mayRun(ctx, c, user, dry, r)
		if !told {
			untold = append(untold, r.name())
		} else if !may {
			denied = append(denied, r)
		}
	}
	switch {
	case len(denied) > 0:
		var names, rules, needed []string
		for _, r := range denied {
			names, rules = append(names, r.name()), append(rules, "+"+r.rule)
			needed = append(needed, r.needed...)
		}
		slices.Sort(needed)
		return Finding{Key: key, State: Fails,
			Said: "this user may not run " + strings.Join(names, ", "),
			Next: "On the server: ACL SETUSER " + name(user) + " " + strings.Join(rules, " "),
			For:  slices.Compact(needed)}
	case len(untold) > 0:
		return Finding{Key: key, State: Unknown,
			Said: "the server does not tell whether this user may run " + strings.Join(untold, ", "),
			Next: "On the server: ACL SETUSER " + name(user) + " +acl|whoami +acl|dryrun, and ask again",
			For:  slices.Concat(failover, decommission)}
	}
	return ok(key, "user "+name(user)+" may run every command that the steps need")
}

func name(user string) string {
	if user == "" {
		return "name"
	}
	return user
}

// mayRun says whether the user may run a command, and whether anybody told.
func mayRun(
	ctx context.Context, c redis.UniversalClient, user string, dry bool, r right,
) (may, told bool) {
	if dry {
		args := []any{"ACL", "DRYRUN", user}
		for _, w := range r.command {
			args = append(args, w)
		}
		if answer, err := c.Do(ctx, args...).Text(); err == nil {
			return answer == "OK", true
		}
	}
	if !r.read {
		return false, false
	}
	args := make([]any, len(r.command))
	for i, w := range r.command {
		args[i] = w
	}
	err := c.Do(ctx, args...).Err()
	_, replied := err.(redis.Error) //nolint:errorlint // as the client gives it
	if err != nil && !replied {
		return false, false
	}
	return err == nil || !redis.HasErrorPrefix(err, "NOPERM"), true
}
