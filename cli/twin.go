package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/twin"
)

type twinCmd struct {
	Dir       string  `help:"Folder for the twin's data." default:".switchyard/twin" type:"path"`
	Addr      string  `help:"Where to serve Switchyard. Default: a free port, chosen once." placeholder:"HOST:PORT"`
	Rate      float64 `help:"Orders per second." default:"5"`
	Ingestion string  `help:"The example ingestion app, built." default:"examples/ingestion" type:"path"`
	Durable   bool    `help:"The app keeps orders on disk before it acknowledges them (durable intake)." name:"durable-intake"`
}

// Run keeps the twin up until the context ends.
func (c twinCmd) Run(s *shell) error {
	if c.Rate < 0 || c.Rate > 2000 {
		return migration.Errorf(migration.Invalid, "--rate %g: orders per second from 0 to 2000", c.Rate)
	}
	t, err := startTwin(s, twin.Config{Dir: c.Dir, IngestionDir: c.Ingestion, Addr: c.Addr, Rate: c.Rate, DurableIntake: c.Durable})
	if err != nil {
		return err
	}
	out := func(format string, args ...any) { _, _ = fmt.Fprintf(s.stdout, format+"\n", args...) }
	out("\nSwitchyard is at %s", t.URL())
	out("\nSign in as")
	for _, a := range t.Accounts() {
		out("  %-6s %s  (%s)", a.Name, a.Password, a.Role)
	}
	out("\nada works through the steps; irreversible ones need grace to approve; lee may only look.")
	out("Orders arrive at %g a second. Data and logs are in %s. Ctrl-C ends everything; make reset forgets it.\n", c.Rate, c.Dir)
	<-s.ctx.Done()
	out("ending: orders, app, servers ...")
	return t.Close()
}

func startTwin(s *shell, cfg twin.Config) (*twin.Twin, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cfg.Serve = []string{self, "serve"}
	cfg.Log = slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	redisconn.LogTo(cfg.Log)
	return twin.Start(s.ctx, cfg)
}

type resetCmd struct {
	Dir string `help:"Folder of the twin's data." default:".switchyard" type:"path"`
}

// Run removes the data of every twin under the folder.
func (c resetCmd) Run(s *shell) error {
	if filepath.Base(c.Dir) != ".switchyard" && filepath.Base(filepath.Dir(c.Dir)) != ".switchyard" {
		return migration.Errorf(migration.Invalid, "%s is no twin's folder: give .switchyard or one in it", c.Dir)
	}
	log := slog.New(slog.NewTextHandler(s.stderr, nil))
	entries, err := os.ReadDir(c.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "state.json")); err == nil {
		return twin.Reset(c.Dir, log)
	}
	for _, e := range entries {
		if err := twin.Reset(filepath.Join(c.Dir, e.Name()), log); err != nil {
			return err
		}
	}
	return os.RemoveAll(c.Dir)
}
