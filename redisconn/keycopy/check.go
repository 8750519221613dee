package keycopy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// streamMax is the longest that a stream may take under the target's rate limit, in
// seconds: the source's snapshot process lives that long, and memory written
// meanwhile exists twice.
const streamMax = 60

// Plan is what a copy will do, found without changing anything.
type Plan struct {
	// why it cannot: measured value, limit, what to do
	Refusals    []string `json:"refusals"`
	Path        Path     `json:"path"`
	Why         string   `json:"why"` // why the path is not the stream, or was not in the end
	DB          int      `json:"db"`
	Keys        int64    `json:"keys"`
	SourceBytes int64    `json:"source_bytes"` // used_memory
	TargetFree  int64    `json:"target_free"`  // bytes; -1: no limit known
	TargetKeys  int64    `json:"target_keys"`
	// of the source that hold keys and are not copied
	OtherDatabases []int   `json:"other_databases"`
	ETASeconds     float64 `json:"eta_seconds"` // from the rate limits alone; 0 without
}

// Check plans a copy and returns every objection at once. It changes nothing.
// Whether the target accepts RESTORE only shows with the first keys, and affects
// just the path. An error means that a server could not be asked.
func Check(ctx context.Context, src, dst redis.UniversalClient, o Options) (Plan, error) {
	p := Plan{Refusals: []string{}, OtherDatabases: []int{}, TargetFree: -1}
	refuse := func(format string, args ...any) {
		p.Refusals = append(p.Refusals, fmt.Sprintf(format, args...))
	}
	switch o.Path {
	case "", Auto, Stream, Scan, Typed:
	default:
		refuse("unknown path %q: choose auto, stream, scan or typed", o.Path)
	}
	from, err := ask(ctx, src)
	if err != nil {
		return p, fmt.Errorf("source: %w", err)
	}
	to, err := ask(ctx, dst)
	if err != nil {
		return p, fmt.Errorf("target: %w", err)
	}
	p.DB, p.Keys, p.SourceBytes, p.TargetKeys = from.db, from.size,
		max(from.facts.UsedMemory, 0), to.size
	for _, db := range from.databases {
		if db != p.DB {
			p.OtherDatabases = append(p.OtherDatabases, db)
		}
	}
	if same, by := sameServer(from, to); same {
		refuse("source and target are the same server (%s): name two servers", by)
	}
	if to.facts.Role == "slave" {
		refuse("the target is a replica of %s:%s and accepts no writes: use its master",
			to.facts.MasterHost, to.facts.MasterPort)
	}
	if to.size > 0 && !o.Overwrite {
		refuse("the target holds %d keys, expected none: empty it, or allow overwriting, "+
			"which replaces keys of the same name and keeps others", to.size)
	}
	switch policy := to.facts.MaxMemoryPolicy; {
	case policy == "" && !o.EvictionOff:
		refuse("the target does not report its maxmemory-policy, expected noeviction: make " +
			"sure that eviction is off, and confirm it")
	case policy != "" && policy != "noeviction":
		refuse("the target's maxmemory-policy is %s, expected noeviction: set it, or keys "+
			"disappear", policy)
	}
	limit := o.TargetMemory
	if limit <= 0 {
		limit = to.facts.MaxMemory
	}
	if limit > 0 {
		p.TargetFree = max(0, limit-max(to.facts.UsedMemory, 0))
		room := p.TargetFree
		if o.Overwrite { // what is there may be what is replaced
			room = limit
		}
		if room < p.SourceBytes {
			refuse("the target has room for %s of %s and the source uses %s: raise the "+
				"target's memory limit, or delete what is not needed", migration.Bytes(room),
				migration.Bytes(limit),
				migration.Bytes(p.SourceBytes))
		}
	}
	p.Path, p.Why = choose(o, from, p)
	perTarget, perSource := p.Path.commands()
	p.ETASeconds = o.Seconds(p.Keys, perTarget, perSource)
	return p, nil
}

// commands returns how many commands a key takes on each side, at least.
func (p Path) commands() (target, source int) {
	switch p {
	case Stream:
		return 1, 0
	case Typed:
		return 2, 3 // deleted and written; type, value and expiry
	default:
		return 1, 2
	}
}

// choose returns the path, and why it is not the stream.
func choose(o Options, from answers, p Plan) (Path, string) {
	if o.Path == Typed || o.Path == Scan || o.Path == Stream {
		return o.Path, ""
	}
	if total := from.number("total_system_memory"); total > 0 &&
		2*from.facts.UsedMemory > total {
		return Scan, fmt.Sprintf(
			"a snapshot may need the same amount of memory again: the source uses %s of its "+
				"machine's %s",
			migration.Bytes(from.facts.UsedMemory), migration.Bytes(total))
	}
	if s := (Pace{TargetRate: o.TargetRate}).Seconds(p.Keys, 1, 0); s > streamMax {
		return Scan, fmt.Sprintf("at the target's rate it would take %.0f s, and the source "+
			"should not keep a snapshot for more than %d s", s, streamMax)
	}
	return Stream, ""
}

// answers is what one server reports about itself.
type answers struct {
	facts     redisconn.Facts
	info      map[string]string
	addr      string
	db        int
	size      int64 // number of keys in the database
	databases []int // that hold keys
}

func (a answers) number(name string) int64 {
	n, _ := strconv.ParseInt(a.info[name], 10, 64)
	return n
}

func ask(ctx context.Context, c redis.UniversalClient) (answers, error) {
	var a answers
	var err error
	if a.facts, err = redisconn.Inspect(ctx, c); err != nil {
		return a, err
	}
	text, err := c.Info(ctx).Result()
	if err != nil {
		return a, redisconn.Explain(err)
	}
	a.info = map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			a.info[k] = v
			if db, err := strconv.Atoi(strings.TrimPrefix(k, "db")); err == nil &&
				strings.HasPrefix(k, "db") && strings.HasPrefix(v, "keys=") {
				a.databases = append(a.databases, db)
			}
		}
	}
	slices.Sort(a.databases)
	if has, ok := c.(interface{ Options() *redis.Options }); ok {
		a.addr, a.db = has.Options().Addr, has.Options().DB
	}
	if a.size, err = c.DBSize(ctx).Result(); err != nil {
		return a, redisconn.Explain(err)
	}
	return a, nil
}

// sameServer compares run IDs, which a server chooses at its start, or addresses if
// it does not report one.
func sameServer(a, b answers) (same bool, by string) {
	if id, other := a.info["run_id"], b.info["run_id"]; id != "" && other != "" {
		return id == other, "run id " + id
	}
	return a.addr != "" && a.addr == b.addr, "address " + a.addr
}
