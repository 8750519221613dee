package twin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
)

// Config says what a twin is like.
type Config struct {
	// Dir is where everything is kept. A second start on the same folder goes on where
	// the first ended.
	Dir string
	// IngestionDir is the example app, built: it holds dist/main.js.
	IngestionDir string
	// Addr is where Switchyard will listen. Empty: a free port, chosen once.
	Addr string
	// Orders is how many orders the provider may send in all; 0 is no limit.
	Orders int
	// Rate is orders per second while traffic is on.
	Rate float64
	// DownAfter is how long Sentinel waits before it calls a silent master down. Default
	// 2 s.
	DownAfter time.Duration
	// DurableIntake has the app keep orders on disk before it acknowledges them.
	DurableIntake bool
	// Neighbour has a third app of the shop stay connected to the old server, which says nothing
	// of itself to Switchyard, and a second database of that server be in use.
	Neighbour bool
	// Fleet has two instances of the app run, which share a journal, and a second app
	// beside them with a routed queue of its own.
	Fleet bool
	// Managed is where the managed Redis comes from: ManagedUpstash or ManagedURL. Empty:
	// as the folder has it, or ManagedUpstash.
	Managed string
	// Serve is the command that serves Switchyard; "--config FILE" is appended. Empty:
	// somebody else does.
	Serve []string
	// Settings overrides the patience of the migration's steps; keys as under "migration"
	// in the configuration.
	Settings map[string]string
	Log      *slog.Logger
}

// Twin is a running estate.
type Twin struct {
	cfg      Config
	log      *slog.Logger
	state    *state
	lock     *os.File
	spawn    *spawner
	pids     *pidFile
	caFile   string
	provider *Provider
	upstash  *providerstest.Upstash
	linode   *providerstest.Linode
	stripe   *webhookstest.Stripe
	heroku   *providerstest.Heroku
	apis     []*http.Server
	serve    *process
	closing  sync.Once

	mu      sync.Mutex
	servers map[string]*process
	apps    []*process // one for each of Config.instances
	// neighbour is nil where there is none.
	neighbour *process
	appVars   map[string]string
}

// Start brings the estate up and begins to send orders. What a killed twin left running
// in the same folder is ended first. Conflict when another twin uses the folder.
func Start(ctx context.Context, cfg Config) (_ *Twin, err error) {
	if cfg.DownAfter == 0 {
		cfg.DownAfter = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	main := filepath.Join(cfg.IngestionDir, "dist", "main.js")
	if _, err := os.Stat(main); err != nil {
		return nil, migration.Errorf(
			migration.Invalid,
			"the ingestion app is not built: %s is missing; run make node, or start in the "+
				"repository's folder",
			main,
		)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	t := &Twin{
		cfg:     cfg,
		log:     cfg.Log,
		lock:    lock,
		spawn:   newSpawner(),
		servers: map[string]*process{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	pidPath := filepath.Join(cfg.Dir, "pids.json")
	if err := leftovers(pidPath, t.log); err != nil {
		return nil, err
	}
	t.pids = &pidFile{path: pidPath, pids: map[string]recorded{}}
	folders := []string{"logs", "switchyard", "provider"}
	for _, i := range cfg.instances() {
		folders = append(folders, i.name)
	}
	for _, d := range folders {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	if err := rotateLogs(filepath.Join(cfg.Dir, "logs")); err != nil {
		return nil, err
	}
	if t.state, err = loadState(cfg.Dir, cfg.Addr); err != nil {
		return nil, err
	}
	if err := t.settle(); err != nil {
		return nil, err
	}
	if err := t.state.checkFree(ctx, len(cfg.Serve) > 0); err != nil {
		return nil, err
	}
	if t.caFile, _, _, err = certificates(filepath.Join(cfg.Dir, "tls")); err != nil {
		return nil, err
	}
	first := !t.state.initialised("linode")
	if err := t.startServers(ctx); err != nil {
		return nil, err
	}
	if first {
		if err := t.reports(ctx, t.endpoint("linode"), "fill", "added"); err != nil {
			return nil, err
		}
	}
	if err := t.writeConfig(); err != nil {
		return nil, err
	}
	if err := t.startServe(ctx); err != nil {
		return nil, err
	}
	if err := t.startApps(ctx, main); err != nil {
		return nil, err
	}
	if cfg.Neighbour {
		if err := t.startNeighbour(ctx, first); err != nil {
			return nil, err
		}
	}
	t.provider, err = newProvider(
		filepath.Join(cfg.Dir, "provider", "orders.jsonl"),
		t.doors(),
		t.state.webhookSecrets(),
		cfg.Orders,
		cfg.Rate,
		t.stripe,
	)
	return t, err
}

// rotateLogs sets the logs of the last run aside, and forgets those of the run before it.
func rotateLogs(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	for _, l := range logs {
		if err := os.Rename(l, l+".1"); err != nil {
			return err
		}
	}
	return nil
}

// lockDir makes the folder this twin's own.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(f) // who holds it, as far as it wrote that down
		_ = f.Close()
		return nil, migration.Errorf(migration.Conflict,
			"another twin (pid %s) uses %s: stop it, or choose another folder with --dir",
			strings.TrimSpace(string(pid)), dir)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// startServers starts every Redis and Sentinel that is not powered off, and the APIs that
// can do so.
func (t *Twin) startServers(ctx context.Context) error {
	if err := t.makeServers(); err != nil {
		return err
	}
	if err := t.serveAPIs(); err != nil {
		return err
	}
	t.appVars = t.keptVars()
	running := map[string]bool{}
	for id, m := range machines {
		for _, name := range m.programs {
			running[name] = t.machineRuns(id)
		}
	}
	names := []string{"linode", "node-1", "node-2", "node-3"}
	if t.cfg.Fleet {
		names, running[journalServer] = append(names, journalServer), true
	}
	for _, name := range names {
		if !running[name] {
			continue
		}
		if err := t.program(name).start(); err != nil {
			return err
		}
	}
	for _, name := range names {
		if !running[name] {
			continue
		}
		if err := awaitRedis(ctx, t.endpoint(name)); err != nil {
			return err
		}
	}
	for i := 1; i <= 3; i++ {
		if name := fmt.Sprintf("sentinel-%d", i); running[name] {
			if err := t.program(name).start(); err != nil {
				return err
			}
			if err := t.looksOften(ctx, name); err != nil {
				return err
			}
		}
	}
	// Once they have been complete, the sentinels may rightly watch nothing: a move that
	// was interrupted goes on by itself.
	for i := 1; i <= 3 && !t.state.Formed; i++ {
		if err := t.awaitSentinel(ctx, fmt.Sprintf("sentinel-%d", i)); err != nil {
			return err
		}
	}
	t.state.mu.Lock()
	t.state.Formed = true
	t.state.mu.Unlock()
	if err := t.state.save(); err != nil {
		return err
	}
	if password, there := t.managedPassword(); there {
		return t.startManaged(ctx, password)
	}
	return nil
}

func (t *Twin) startServe(ctx context.Context) error {
	if len(t.cfg.Serve) == 0 {
		return nil
	}
	argv := append(append([]string{}, t.cfg.Serve...), "--config", t.ConfigFile())
	t.serve = t.process("serve", "", 200*time.Millisecond, func() []string { return argv }, nil)
	if err := t.serve.start(); err != nil {
		return err
	}
	return poll(
		ctx,
		20*time.Second,
		"switchyard serve (see "+t.serve.logFile+")",
		func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL()+"/healthz", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("it answers %s", resp.Status)
			}
			return nil
		},
	)
}

func (t *Twin) program(name string) *process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.servers[name]
}

// forgetServer stops a server for good and removes its data.
func (t *Twin) forgetServer(name string) error {
	if p := t.program(name); p != nil {
		p.stop(5 * time.Second)
	}
	if err := t.state.setInitialised(name, false); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(t.cfg.Dir, name))
}

// Close ends everything, in order: orders, Switchyard, the app, the servers. Data stays.
// It may be called again.
//
//nolint:contextcheck // the servers end in order also when the context has ended
func (t *Twin) Close() error {
	var errs []error
	t.closing.Do(func() {
		if t.provider != nil {
			errs = append(errs, t.provider.close())
		}
		if t.serve != nil {
			t.serve.retire(15 * time.Second)
		}
		for _, app := range t.apps {
			app.retire(15 * time.Second)
		}
		if t.neighbour != nil {
			t.neighbour.retire(5 * time.Second)
		}
		// What an API is asked at this moment it does to the end, so that nothing starts
		// behind our back.
		drain, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		for _, srv := range t.apis {
			errs = append(errs, srv.Shutdown(drain))
		}
		if t.linode != nil {
			t.linode.Close()
		}
		var all sync.WaitGroup
		t.mu.Lock()
		for _, p := range t.servers {
			if p != nil {
				all.Go(func() { p.retire(10 * time.Second) })
			}
		}
		t.mu.Unlock()
		all.Wait()
		errs = append(errs, t.lock.Close())
	})
	return errors.Join(errs...)
}

// Reset ends what a former run left behind and removes the folder.
func Reset(dir string, log *slog.Logger) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := leftovers(filepath.Join(dir, "pids.json"), log); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// URL is where Switchyard is.
func (t *Twin) URL() string { return "http://" + t.state.Addr }

// Accounts are who can sign in.
func (t *Twin) Accounts() []Account { return t.state.Accounts }

// Traffic is the payment provider.
func (t *Twin) Traffic() *Provider { return t.provider }

// ConfigFile is the configuration for `switchyard serve`.
func (t *Twin) ConfigFile() string { return filepath.Join(t.cfg.Dir, "switchyard.yaml") }
