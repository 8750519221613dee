package steps_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/scan"
	"github.com/switchyard-dev/switchyard/server"
	"github.com/switchyard-dev/switchyard/twin"
	"github.com/switchyard-dev/switchyard/workflows"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps"
)

var (
	ada   = migration.Actor{Name: "ada", Role: migration.RoleEngineer}
	grace = migration.Actor{Name: "grace", Role: migration.RoleEngineer}
)

// patience is for what has to happen on a machine that does other things too.
const patience = 90 * time.Second

// world is a twin, with its app, its orders and the stand-ins of the paid services, and
// Switchyard in this process, which can be ended and started again as often as need be.
type world struct {
	t    *testing.T
	twin *twin.Twin
	cfg  config.Config
	mid  string
	// ways is told of everything that an action does, and decides how it ends.
	ways  *ways
	nodes []string // of the Sentinel deployment

	control *workflows.Control
	given   steps.Given // what the present process made its steps from
	steps   map[string]engine.Step
	stop    func()
}

// openWorld starts a twin whose provider sends a few orders a second until the test ends.
func openWorld(t *testing.T) *world {
	t.Helper()
	return openFleet(t, false, func(*config.Config) {})
}

// openFleet is openWorld, of a fleet if so, with a configuration that leaves something out.
func openFleet(t *testing.T, fleet bool, leave func(*config.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	tw, err := twin.Start(t.Context(), twin.Config{
		Dir: dir, Fleet: fleet, IngestionDir: filepath.Join("..", "..", "examples", "ingestion"),
		Rate: rate, Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{
			"quiet_window": "1s", "fence_window": "1s", "soak": "500ms", "monitor_interval": "1s",
			"min_validation_orders": "10", "order_deadline": "10m",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, twin: tw, ways: newWays()}
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		if err := tw.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(strings.Join(w.ways.notes, "\n"))
			w.keep(dir)
		}
	})
	if w.cfg, err = config.Load(tw.ConfigFile(), os.Getenv); err != nil {
		t.Fatal(err)
	}
	w.cfg.SyncAddr = "off"
	leave(&w.cfg)
	w.mid = workflows.MigrationID(w.cfg)
	w.open()
	nodes, err := w.given.Environment.Servers.Cluster.NodeAddrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.nodes = nodes
	return w
}

// keep copies the logs of a world that failed to where a person can read them.
func (w *world) keep(dir string) {
	to := os.Getenv("SWITCHYARD_TEST_KEEP")
	if to == "" {
		return
	}
	if err := os.CopyFS(filepath.Join(to, filepath.Base(filepath.Dir(dir))),
		os.DirFS(filepath.Join(dir, "logs"))); err != nil {
		w.t.Log(err)
	}
}

// open starts Switchyard: at first, or again after it was killed.
func (w *world) open() {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	readers, err := workflows.NewReaders(w.cfg, log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.control, err = workflows.OpenWith(context.Background(), w.cfg, readers, log,
		func(g steps.Given) map[string]engine.Step {
			all := steps.All(g)
			w.given, w.steps = g, all
			for id, s := range all {
				all[id] = w.ways.watch(w, s)
			}
			return all
		})
	if err != nil {
		w.t.Fatal(err)
	}
	control := w.control
	s := server.New(server.Options{
		Control: control, Readers: readers, Log: log, Version: "test",
		StreamSecret: w.cfg.WorkerToken,
	})
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", w.cfg.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	w.stop = func() {
		w.stop = nil
		closed := control.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience) // against a hang
		defer cancel()
		err := errors.Join(closed, s.Shutdown(ctx), <-served, readers.Flags.Close())
		if err != nil {
			w.t.Error(err)
		}
	}
}

// restart ends Switchyard where it is, and starts it again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.open()
}

// scan brings what the source of the app says of its producers.
func (w *world) scan() {
	w.t.Helper()
	found, err := scan.Run(w.t.Context(), w.twin.IngestionDir(), scan.Options{})
	if err == nil {
		err = w.control.SubmitScan(w.t.Context(), ada, w.mid, found.Facts("ingestion", ""))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually waits until ask gives nil.
func (w *world) eventually(what string, ask func() error) {
	w.t.Helper()
	limit := patience
	if *broken != "" {
		limit = 15 * time.Second // it is to fail
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	err := engine.Await(ctx, 100*time.Millisecond, func(context.Context) error {
		if err := ask(); err != nil {
			return engine.NotYet("%v", err)
		}
		return nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// outside is what Switchyard changes outside of itself, in words: settings and roles of
// every server, what the sentinels monitor, which queues stand still and where the others
// are, what the flags say, which variables the app has, which machines there are. Orders
// that come and go are not part of it.
type outside map[string]string

// diff lists what differs.
func (o outside) diff(p outside) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if o[k] != p[k] {
			lines = append(lines, fmt.Sprintf("%s: %q, then %q", k, o[k], p[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(p)) {
		if _, known := o[k]; !known {
			lines = append(lines, fmt.Sprintf("%s: nothing, then %q", k, p[k]))
		}
	}
	return strings.Join(lines, "\n")
}

// settings are those that steps set.
var settings = []string{
	"maxmemory-policy", "min-replicas-to-write", "min-replicas-max-lag", "timeout", "tcp-keepalive",
	"client-output-buffer-limit", "replica-priority",
}

// signIn are those with which a node follows its master. Of the single server they do not
// count: once it has been a replica, it keeps its own password there.
var signIn = []string{"masteruser", "masterauth"}

// look looks at everything.
func (w *world) look(ctx context.Context) outside {
	o := outside{}
	e := w.given.Environment
	r, err := e.Routing.Read(ctx, w.mid)
	o["flags"] = said(fmt.Sprintf("%s, source %s", r, r.Source), err)
	o["source"] = w.server(ctx, e.Servers.Standalone, settings)
	users, err := e.Servers.Standalone.Do(ctx, "ACL", "LIST").Result()
	// Redis 7.0 writes this flag, which is the default, out only once it was started from a file that
	// has users in it.
	same := strings.ReplaceAll(fmt.Sprint(users), " sanitize-payload ", " ")
	o["who may sign in to the source"] = said(same, err)
	// Which of the nodes is the master does not matter, so they have no names here.
	var nodes []string
	for _, addr := range w.nodes {
		c := redisconn.Node(e.Servers.SentinelEndpoint, addr)
		nodes = append(nodes, w.server(ctx, c, slices.Concat(settings, signIn)))
		_ = c.Close()
	}
	slices.Sort(nodes)
	for i, n := range nodes {
		o[fmt.Sprint("node ", i)] = n
	}
	for i, addr := range w.cfg.Source.Sentinel.Addrs {
		c := redisconn.SentinelNode(e.Servers.SentinelEndpoint, addr)
		m, err := c.Master(ctx, w.cfg.Source.Sentinel.Master).Result()
		if err != nil && strings.Contains(err.Error(), "No such master") {
			m, err = nil, nil
		}
		o[fmt.Sprint("sentinel ", i)] = said(fmt.Sprintf("monitors %s, quorum %s, down after %s",
			m["name"], m["quorum"], m["down-after-milliseconds"]), err)
		_ = c.Close()
	}
	id, err := e.Servers.TargetID(ctx)
	o["target"] = said(fmt.Sprint("provisioned: ", id != ""), err)
	if target, _, err := e.Servers.Target(ctx); err == nil {
		o["queues of the target"] = w.queues(ctx, target)
	}
	var moves []struct{ Run string }
	_, err = w.given.Store.Setting(ctx, "queue-moves:"+w.mid, &moves)
	begun := 0
	for _, m := range moves {
		if m.Run != "" {
			begun++
		}
	}
	o["moves of queues"] = said(fmt.Sprintf("%d begun", begun), err)
	vars, err := heroku.New(w.cfg.Heroku.API, w.cfg.Heroku.Token, nil).
		ConfigVars(ctx, w.cfg.Heroku.App)
	o["app"] = said(fmt.Sprint(slices.Sorted(maps.Keys(vars))), err)
	host, err := linode.New(w.cfg.Linode.API, w.cfg.Linode.Token, nil)
	for id := 1; err == nil && id <= 4; id++ {
		inst, err := host.Instance(ctx, id)
		o[fmt.Sprint("machine ", id)] = said(inst.Status, err)
	}
	return o
}

func said(what string, err error) string {
	if err != nil {
		return err.Error()
	}
	return what
}

// server says what a server of ours is like.
func (w *world) server(ctx context.Context, c redis.UniversalClient, settings []string) string {
	facts, err := redisconn.Inspect(ctx, c)
	if err != nil {
		return "not to be seen: " + redisconn.Explain(err).Error()
	}
	out := []string{facts.Role}
	for _, name := range settings {
		v, err := c.ConfigGet(ctx, name).Result()
		value := v[name]
		if slices.Contains(signIn, name) {
			value = fmt.Sprintf("%.6x", sha256.Sum256([]byte(value)))
		}
		out = append(out, name+" "+said(value, err))
	}
	return strings.Join(append(out, w.queues(ctx, c)), ", ")
}

// queues says of each queue of a server whether it stands still, and of those that no flag
// routes how many jobs there are.
func (w *world) queues(ctx context.Context, c redis.UniversalClient) string {
	all, err := bullmq.Discover(ctx, c)
	if err != nil {
		return redisconn.Explain(err).Error()
	}
	var out []string
	for _, q := range all {
		n, err := bullmq.Census(ctx, c, q)
		ours := strings.HasPrefix(q.Name, w.cfg.Queues[0]) // its jobs come and go
		is := q.Name
		if n.Paused {
			is += " paused"
		}
		if !ours {
			is += fmt.Sprintf(" %d jobs", n.Pending())
		}
		// An empty queue that stands still is where another has moved away from: it stays, so
		// that what is added there late waits to be carried over.
		if left := !ours && n.Paused && n.Pending() == 0; n.Paused && ours || !ours && !left ||
			err != nil {
			out = append(out, said(is, err))
		}
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// asBefore waits until everything outside is as it was.
func (w *world) asBefore(before outside) {
	w.t.Helper()
	w.eventually("what is outside is not as before", func() error {
		if d := before.diff(w.look(w.t.Context())); d != "" {
			return errors.New(d)
		}
		return nil
	})
}

// steady waits until nothing outside changes any more, and gives it.
func (w *world) steady() outside {
	w.t.Helper()
	now := w.look(w.t.Context())
	w.eventually("what is outside does not settle", func() error {
		before := now
		now = w.look(w.t.Context())
		if d := before.diff(now); d != "" {
			return errors.New(d)
		}
		return nil
	})
	return now
}

// run gives a run.
func (w *world) run(id string) migration.Run {
	w.t.Helper()
	r, err := w.control.Run(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// log gives the log of a run, for a test that fails.
func (w *world) log(id string) string {
	lines, err := w.control.Log(w.t.Context(), id, 0, 1000)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "\n  %s %s %s: %s", l.At.Format(time.TimeOnly), l.Level, l.Action, l.Message)
	}
	return b.String()
}

// plan waits until every gate of a step holds.
func (w *world) plan(step string, p migration.Params) migration.StepPlan {
	w.t.Helper()
	var plan migration.StepPlan
	w.eventually(step+" may not start", func() (err error) {
		if plan, err = w.control.Plan(w.t.Context(), w.mid, step, p); err != nil {
			return err
		}
		return engine.Blocked(step, plan.Gates)
	})
	return plan
}

// start starts a step once its gates hold; ada asks for it.
func (w *world) start(step string, p migration.Params) migration.Run {
	w.t.Helper()
	var r migration.Run
	w.eventually(step+" does not start", func() (err error) {
		r, err = w.control.Start(w.t.Context(), ada, w.mid, step, p, "")
		return err
	})
	return r
}

// decide approves whatever a run waits for, as grace.
func (w *world) decide(r migration.Run) error {
	action, _ := r.Waiting()
	name := w.cfg.Migration.Name
	_, err := w.control.Decide(w.t.Context(), grace, r.ID, workflows.Decision{
		Approve: true, ConfirmName: name, PlanHash: r.Plan.Hash, Action: action.ID,
	})
	return err
}

// follow sees a run to a state.
func (w *world) follow(id string, want migration.RunState) migration.Run {
	w.t.Helper()
	r := w.end(id)
	w.is(r, want)
	return r
}

func (w *world) is(r migration.Run, want migration.RunState) {
	w.t.Helper()
	if r.State != want {
		w.t.Fatalf("%s is %s (%s), want %s%s", r.Step, r.State, r.Error, want, w.log(r.ID))
	}
}

// end sees a run to its end, approving what it waits for, and killing Switchyard wherever
// the ways say so. It gives up when nothing moves any more.
func (w *world) end(id string) migration.Run {
	w.t.Helper()
	var r migration.Run
	moved, seen, still := time.Now(), "", 2*patience
	if *writes {
		still *= 4 // a webhook that is refused at each attempt comes again the later
	}
	for {
		r = w.run(id)
		if !r.State.Open() {
			break
		}
		if raw, _ := json.Marshal([]any{r.State, r.Actions, r.Approvals}); string(raw) != seen {
			moved, seen = time.Now(), string(raw)
		}
		if time.Since(moved) > still {
			w.t.Fatalf("%s stands still: %s, %s%s", r.Step, r.Progress, seen, w.log(id))
		}
		if r.State == migration.RunAwaitingApproval {
			if err := w.decide(r); err != nil {
				w.ways.note("%s waits: %v", r.Step, err)
			}
		}
		select {
		case at := <-w.ways.reached:
			w.ways.note("killed after %s", at)
			w.restart()
		case <-time.After(50 * time.Millisecond):
		case <-w.t.Context().Done():
			w.t.Fatal(w.t.Context().Err())
		}
	}
	return r
}
