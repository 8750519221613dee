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

// tellEvery is how often copy and compare say on standard error how far they are.
const tellEvery = 5 * time.Second

// Where the URLs come from when they are not given: arguments are seen by everybody on the machine, and a URL holds a password.
const (
	envCopySource = "SWITCHYARD_COPY_SOURCE"
	envCopyTarget = "SWITCHYARD_COPY_TARGET"
)

// twoServers are the options of commands that need no Switchyard server, only two of Redis.
type twoServers struct {
	Source     string        `arg:"" optional:"" help:"redis:// or rediss:// URL. Default: SWITCHYARD_COPY_SOURCE, where nobody sees the password."`
	Target     string        `arg:"" optional:"" help:"redis:// or rediss:// URL. Default: SWITCHYARD_COPY_TARGET."`
	SourceCA   string        `name:"source-ca" help:"PEM file of the source's certificate authority." type:"path" placeholder:"FILE"`
	TargetCA   string        `name:"target-ca" help:"PEM file of the target's certificate authority." type:"path" placeholder:"FILE"`
	SourceRate int           `help:"Commands per second on the source at most." placeholder:"N"`
	TargetRate int           `help:"Commands per second on the target at most, such as 8000 on a plan of 10,000." placeholder:"N"`
	MaxLatency time.Duration `help:"Slow down while 1 in 100 of the source's answers to PING takes longer." placeholder:"TIME"`
	Workers    int           `help:"Connections that read, and that write. Default: 4." placeholder:"N"`
	JSON       bool          `help:"Print JSON."`
}

func (c twoServers) pace() keycopy.Pace {
	return keycopy.Pace{SourceRate: c.SourceRate, TargetRate: c.TargetRate, MaxLatency: c.MaxLatency, Workers: c.Workers}
}

// open makes clients for both; the function closes them.
func (c twoServers) open(s *shell) (src, dst redis.UniversalClient, closeBoth func(), err error) {
	if c.SourceRate < 0 || c.TargetRate < 0 || c.Workers < 0 || c.MaxLatency < 0 {
		return nil, nil, nil, migration.Errorf(migration.Invalid, "rates, latency and workers are above zero, or left out")
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
		return nil, migration.Errorf(migration.Invalid, "no %s: give its URL as an argument, or in %s", name, env)
	}
	return redisconn.OpenBulk(redisconn.Endpoint{Name: name, Kind: redisconn.Standalone, URL: migration.Secret(given), CAFile: ca})
}

func (c twoServers) print(w io.Writer, v any, text func(io.Writer)) error {
	return printed(w, c.JSON, v, text)
}

// progress says now and then how far it is.
func progress(w io.Writer) func(keycopy.Progress) {
	next := time.Now().Add(tellEvery)
	return func(p keycopy.Progress) {
		if now := time.Now(); now.After(next) {
			next = now.Add(tellEvery)
			_, _ = fmt.Fprintf(w, "%d of about %d keys, %.1f MB, %.0f keys/s, about %s left", p.Keys, p.Total, float64(p.Bytes)/(1<<20), p.KeysPerSecond, seconds(p.ETASeconds))
			if p.BackingOffMS > 0 {
				_, _ = fmt.Fprintf(w, ", held back: the source answers within %.1f ms", p.LatencyMS)
			}
			_, _ = fmt.Fprintln(w)
		}
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

type copyCmd struct {
	twoServers
	Path           keycopy.Path `help:"How keys travel; auto: by the source's replication stream, or SCAN where that is denied." enum:"auto,stream,scan,typed" default:"auto"`
	Overwrite      bool         `help:"The target may hold keys: those of the same name are replaced, others stay. Needed to go on after an interruption."`
	EvictionOff    bool         `help:"I made sure that the target evicts nothing; for services that do not tell."`
	TargetMemoryMB int64        `name:"target-memory-mb" help:"What the target may hold; for services that do not tell." placeholder:"MB"`
	DryRun         bool         `help:"Say what would be done, and what stands against it. Changes nothing."`
	Compare        bool         `help:"Compare both sides afterwards."`
}

// Run copies every key of one database to another server.
func (c copyCmd) Run(s *shell) error {
	src, dst, closeBoth, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeBoth()
	o := keycopy.Options{Path: c.Path, Overwrite: c.Overwrite, EvictionOff: c.EvictionOff, TargetMemory: c.TargetMemoryMB << 20, Pace: c.pace(), Progress: progress(s.stderr)}
	if c.DryRun {
		p, err := keycopy.Check(s.ctx, src, dst, o)
		if err != nil {
			return err
		}
		err = c.print(s.stdout, p, func(w io.Writer) { printPlan(w, p) })
		if err == nil && len(p.Refusals) > 0 {
			err = migration.Errorf(migration.Blocked, "%d things stand against the copy", len(p.Refusals))
		}
		return err
	}
	r, err := keycopy.Copy(s.ctx, src, dst, o)
	if s.ctx.Err() != nil { // a part is there: that is no success
		return migration.Errorf(migration.Conflict, "interrupted after %d of about %d keys: go on with --overwrite", r.Keys, r.Plan.Keys)
	}
	if err != nil {
		return err
	}
	if err := c.print(s.stdout, r, func(w io.Writer) { printCopy(w, r) }); err != nil || !c.Compare {
		return err
	}
	return compareCmd{c.twoServers}.compare(s, src, dst)
}

func printPlan(w io.Writer, p keycopy.Plan) {
	_, _ = fmt.Fprintf(w, "%d keys, %.1f MB in the source's memory, by %s\n", p.Keys, float64(p.SourceBytes)/(1<<20), p.Path)
	printWhy(w, p)
	if p.ETASeconds > 0 {
		_, _ = fmt.Fprintf(w, "at least %s at the given rates\n", seconds(p.ETASeconds))
	}
	for _, r := range p.Refusals {
		_, _ = fmt.Fprintf(w, "REFUSED\t%s\n", r)
	}
}

func printWhy(w io.Writer, p keycopy.Plan) {
	if p.Why != "" {
		_, _ = fmt.Fprintf(w, "not by stream: %s\n", p.Why)
	}
	if len(p.OtherDatabases) > 0 {
		_, _ = fmt.Fprintf(w, "NOT COPIED\tdatabases %v hold keys; only database %d is copied\n", p.OtherDatabases, p.DB)
	}
}

func printCopy(w io.Writer, r keycopy.Report) {
	_, _ = fmt.Fprintf(w, "%d keys, %.1f MB in %.1f s by %s: %.0f keys/s\n", r.Keys, float64(r.Bytes)/(1<<20), float64(r.Milliseconds)/1000, r.Path, r.KeysPerSecond)
	printWhy(w, r.Plan)
	if r.Libraries > 0 {
		_, _ = fmt.Fprintf(w, "NOT COPIED\t%d function libraries: load them on the target (FUNCTION LOAD)\n", r.Libraries)
	}
	if r.Vanished > 0 {
		_, _ = fmt.Fprintf(w, "%d keys went while they were copied\n", r.Vanished)
	}
}

type compareCmd struct{ twoServers }

// Run compares every key of two databases. It fails when they differ.
func (c compareCmd) Run(s *shell) error {
	src, dst, closeBoth, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeBoth()
	return c.compare(s, src, dst)
}

func (c compareCmd) compare(s *shell, src, dst redis.UniversalClient) error {
	r, err := keycopy.Compare(s.ctx, src, dst, keycopy.CompareOptions{Pace: c.pace(), Progress: progress(s.stderr)})
	if s.ctx.Err() != nil {
		return migration.Errorf(migration.Conflict, "interrupted after %d keys: nothing is known of the others", r.Keys)
	}
	if err != nil {
		return err
	}
	err = c.print(s.stdout, r, func(w io.Writer) {
		for _, d := range r.Differences {
			_, _ = fmt.Fprintf(w, "%s\t%q\n", d.What, d.Key)
		}
		_, _ = fmt.Fprintf(w, "%d keys compared: %d missing on the target, %d there alone, %d of other value, %d of other expiry\n", r.Keys, r.Missing, r.Extra, r.Value, r.Expiry)
	})
	if err == nil && !r.Same {
		err = migration.Errorf(migration.Conflict, "the two sides differ in %d keys", r.Missing+r.Extra+r.Value+r.Expiry)
	}
	return err
}
