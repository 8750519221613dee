package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

// tellEvery is how often copy and compare report their progress on standard error.
const tellEvery = 5 * time.Second

// Where the URLs come from when they are not given: everybody on the machine can see arguments,
// and a URL holds a password.
const (
	envCopySource = "SWITCHYARD_COPY_SOURCE"
	envCopyTarget = "SWITCHYARD_COPY_TARGET"
)

// urlHelp tells how the two servers are given.
const urlHelp = "Give the two redis:// or rediss:// URLs as arguments, or in " +
	"SWITCHYARD_COPY_SOURCE and SWITCHYARD_COPY_TARGET, where nobody sees the passwords. " +
	"Needs no Switchyard server."

// twoServers are the options of commands about two Redis servers.
type twoServers struct {
	Source   string `arg:"" optional:"" help:"URL of the source."`
	Target   string `arg:"" optional:"" help:"URL of the target."`
	SourceCA string `help:"CA certificate of the source (PEM)." type:"path" placeholder:"FILE"`
	TargetCA string `help:"CA certificate of the target (PEM)." type:"path" placeholder:"FILE"`

	SourceRate int           `help:"Most commands per second on the source." placeholder:"N"`
	TargetRate int           `help:"Most commands per second on the target." placeholder:"N"`
	MaxLatency time.Duration `help:"Most latency of the source." placeholder:"TIME"`
	Workers    int           `help:"Connections to each server. Default: 4." placeholder:"N"`
	JSON       bool          `help:"Print JSON."`
}

func (c twoServers) pace() keycopy.Pace {
	return keycopy.Pace{
		SourceRate: c.SourceRate, TargetRate: c.TargetRate, MaxLatency: c.MaxLatency,
		Workers: c.Workers,
	}
}

// open makes clients for both; the function closes them.
func (c twoServers) open(s *shell) (src, dst redis.UniversalClient, closeBoth func(), err error) {
	if c.SourceRate < 0 || c.TargetRate < 0 || c.Workers < 0 || c.MaxLatency < 0 {
		return nil, nil, nil, migration.Errorf(migration.Invalid,
			"rates, latency and workers must be above zero, or left out")
	}
	src, err = openURL(s, "source", c.Source, envCopySource, c.SourceCA)
	if err != nil {
		return nil, nil, nil, err
	}
	dst, err = openURL(s, "target", c.Target, envCopyTarget, c.TargetCA)
	if err != nil {
		_ = src.Close()
		return nil, nil, nil, err
	}
	return src, dst, func() {
		_ = src.Close()
		_ = dst.Close()
	}, nil
}

func openURL(s *shell, name, given, env, ca string) (redis.UniversalClient, error) {
	if given == "" {
		given = s.getenv(env)
	}
	if given == "" {
		return nil, migration.Errorf(migration.Invalid,
			"no %s: give its URL as an argument, or in %s", name, env)
	}
	return redisconn.OpenBulk(redisconn.Endpoint{
		Name: name, Kind: redisconn.Standalone, URL: migration.Secret(given), CAFile: ca,
	}, time.Minute)
}

func (c twoServers) print(s *shell, v any, text func(table)) error {
	return printed(s, c.JSON, v, text)
}

// progress reports now and then how far it is.
func progress(w io.Writer) func(keycopy.Progress) {
	next := time.Now().Add(tellEvery)
	return func(p keycopy.Progress) {
		now := time.Now()
		if now.Before(next) {
			return
		}
		next = now.Add(tellEvery)
		_, _ = fmt.Fprintf(w, "%d of about %d keys, %s, %.0f keys/s, about %s left",
			p.Keys, p.Total, migration.Bytes(p.Bytes), p.KeysPerSecond, seconds(p.ETASeconds))
		if p.BackingOffMS > 0 {
			_, _ = fmt.Fprintf(w, ", slowed down: the source answers within %.1f ms", p.LatencyMS)
		}
		_, _ = fmt.Fprintln(w)
	}
}

func seconds(s float64) string {
	return migration.Words(time.Duration(s * float64(time.Second)).Round(time.Second))
}

type copyCmd struct {
	twoServers
	Path        keycopy.Path `help:"${enum}." enum:"auto,stream,scan,typed" default:"auto"`
	Overwrite   bool         `help:"Replace keys that the target holds, as when going on."`
	EvictionOff bool         `help:"I made sure that the target evicts nothing."`
	DryRun      bool         `help:"Say what would be done, and what prevents it. Change nothing."`
	Compare     bool         `help:"Compare both sides afterwards."`

	TargetMemoryMB int64 `name:"target-memory-mb" help:"What it can hold." placeholder:"MB"`
}

// Help tells the ways, and what to do about services that hide their settings.
func (copyCmd) Help() string {
	return urlHelp + "\n\nKeys travel by the source's replication stream, or by SCAN where that " +
		"is denied (--path auto). The copy slows down while one in a hundred of the source's " +
		"answers to PING takes longer than --max-latency. An interrupted copy goes on with " +
		"--overwrite. Some services do not tell their eviction policy or size: use " +
		"--eviction-off and --target-memory-mb then."
}

// Run copies every key of one database to another server.
func (c copyCmd) Run(s *shell) error {
	src, dst, closeBoth, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeBoth()
	o := keycopy.Options{
		Path: c.Path, Overwrite: c.Overwrite, EvictionOff: c.EvictionOff,
		TargetMemory: c.TargetMemoryMB << 20, Pace: c.pace(), Progress: progress(s.stderr),
	}
	if c.DryRun {
		return c.check(s, src, dst, o)
	}
	r, err := keycopy.Copy(s.ctx, src, dst, o)
	if s.ctx.Err() != nil { // a part is there, which is no success
		return migration.Errorf(migration.Conflict,
			"interrupted after %d of about %d keys: go on with --overwrite", r.Keys, r.Plan.Keys)
	}
	if err != nil {
		return err
	}
	err = c.print(s, r, func(t table) { writeCopy(t, r) })
	if err != nil || !c.Compare {
		return err
	}
	return compareCmd{c.twoServers}.compare(s, src, dst)
}

func (c copyCmd) check(s *shell, src, dst redis.UniversalClient, o keycopy.Options) error {
	p, err := keycopy.Check(s.ctx, src, dst, o)
	if err != nil {
		return err
	}
	err = c.print(s, p, func(t table) { writeCopyPlan(t, p) })
	if err == nil && len(p.Refusals) > 0 {
		err = migration.Errorf(migration.Blocked,
			"the copy is blocked for %s", count(len(p.Refusals), "reason"))
	}
	return err
}

func writeCopyPlan(t table, p keycopy.Plan) {
	t.row("%s, %s in the source's memory, by %s",
		count(p.Keys, "key"), migration.Bytes(p.SourceBytes), p.Path)
	writeNotCopied(t, p)
	if p.ETASeconds > 0 {
		t.row("at least %s at the given rates", seconds(p.ETASeconds))
	}
	for _, r := range p.Refusals {
		t.row("REFUSED\t%s", r)
	}
}

func writeNotCopied(t table, p keycopy.Plan) {
	if p.Why != "" {
		t.row("not by stream: %s", p.Why)
	}
	if len(p.OtherDatabases) > 0 {
		t.row("NOT COPIED\tdatabases %v hold keys; only database %d is copied",
			p.OtherDatabases, p.DB)
	}
}

func writeCopy(t table, r keycopy.Report) {
	t.row("%s, %s in %s by %s: %.0f keys/s", count(r.Keys, "key"), migration.Bytes(r.Bytes),
		migration.Words(time.Duration(r.Milliseconds)*time.Millisecond), r.Path, r.KeysPerSecond)
	writeNotCopied(t, r.Plan)
	if r.Libraries > 0 {
		t.row("NOT COPIED\tfunction libraries: %d; load them on the target (FUNCTION LOAD)",
			r.Libraries)
	}
	if r.Vanished > 0 {
		t.row("%s disappeared from the source during the copy", count(r.Vanished, "key"))
	}
}

type compareCmd struct{ twoServers }

// Help tells how the servers are given, and when the command fails.
func (compareCmd) Help() string {
	return "Compares values and expiry times, and fails when they differ. " + urlHelp
}

// Run compares every key of two databases.
func (c compareCmd) Run(s *shell) error {
	src, dst, closeBoth, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeBoth()
	return c.compare(s, src, dst)
}

func (c compareCmd) compare(s *shell, src, dst redis.UniversalClient) error {
	o := keycopy.CompareOptions{Pace: c.pace(), Progress: progress(s.stderr)}
	r, err := keycopy.Compare(s.ctx, src, dst, o)
	if s.ctx.Err() != nil {
		return migration.Errorf(migration.Conflict,
			"interrupted after %s: the others were not compared", count(r.Keys, "key"))
	}
	if err != nil {
		return err
	}
	err = c.print(s, r, func(t table) {
		for _, d := range r.Differences {
			t.row("%s\t%q", d.What, d.Key)
		}
		t.row("%s compared: %d missing on the target, %d only there, %d with another value, "+
			"%d with another expiry", count(r.Keys, "key"), r.Missing, r.Extra, r.Value, r.Expiry)
	})
	if err == nil && !r.Same {
		err = migration.Errorf(migration.Conflict, "the two sides differ in %s",
			count(r.Missing+r.Extra+r.Value+r.Expiry, "key"))
	}
	return err
}
