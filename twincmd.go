package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/rehearse"
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
func (c twinCmd) Run(s *surroundings) error {
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

func startTwin(s *surroundings, cfg twin.Config) (*twin.Twin, error) {
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
func (c resetCmd) Run(s *surroundings) error {
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

type rehearseCmd struct {
	Auto      bool     `help:"Work through every step unattended." required:""`
	Orders    int      `help:"How many orders are sent in all." default:"5000"`
	Rate      float64  `help:"Orders per second of each burst." default:"200"`
	Faults    []string `help:"Faults on the way, comma-separated: kill-master, freeze-source, kill-serve (up to three times), kill-ingestion."`
	Report    string   `help:"Write the report here (JSON) instead of to standard output." type:"path" placeholder:"FILE"`
	Dir       string   `help:"Folder for the rehearsal's data. Default: a new one under .switchyard, removed afterwards." type:"path" placeholder:"DIR"`
	Keep      bool     `help:"Keep the data of the rehearsal."`
	Ingestion string   `help:"The example ingestion app, built." default:"examples/ingestion" type:"path"`
	Durable   bool     `help:"The app keeps orders on disk before it acknowledges them (durable intake)." name:"durable-intake"`
	Deadline  string   `help:"How long an acknowledged order may take until it counts as lost." default:"90s"`
}

// Validate names what is wrong with the options before anything is started.
func (c rehearseCmd) Validate() error {
	if c.Orders < 500 {
		return fmt.Errorf("--orders %d: at least 500, so that every step has orders to show something with", c.Orders)
	}
	if c.Rate < 10 || c.Rate > 2000 {
		return fmt.Errorf("--rate %g: from 10 to 2000 orders per second", c.Rate)
	}
	kills := 0
	for _, f := range c.Faults {
		known := false
		for _, k := range twin.Faults() {
			known = known || k == f
		}
		if !known {
			return fmt.Errorf("--faults: unknown fault %q; there are %s", f, strings.Join(twin.Faults(), ", "))
		}
		if f == twin.KillServe {
			kills++
		}
	}
	if kills > 3 {
		return fmt.Errorf("--faults: kill-serve at most three times")
	}
	return nil
}

// errNotOK is what a rehearsal that did not go well ends with.
var errNotOK = errors.New("the rehearsal did not pass")

// Run rehearses and reports.
func (c rehearseCmd) Run(s *surroundings) (err error) {
	if c.Dir == "" {
		if err := os.MkdirAll(".switchyard", 0o700); err != nil {
			return err
		}
		if c.Dir, err = os.MkdirTemp(".switchyard", "rehearsal-"); err != nil {
			return err
		}
	}
	t, err := startTwin(s, twin.Config{Dir: c.Dir, IngestionDir: c.Ingestion, Orders: c.Orders, Rate: c.Rate, DurableIntake: c.Durable, Settings: map[string]string{
		"order_deadline": c.Deadline, "min_validation_orders": strconv.Itoa(rehearse.MinValidation(c.Orders))}})
	if err != nil {
		return err
	}
	report, runErr := rehearse.Run(s.ctx, rehearse.Options{Twin: t, Orders: c.Orders, Rate: c.Rate, Faults: c.Faults, Out: s.stderr})
	if closeErr := t.Close(); closeErr != nil {
		_, _ = fmt.Fprintln(s.stderr, "switchyard: ending the twin:", closeErr)
	}
	if err := c.write(s, report); err != nil {
		return err
	}
	if report.OK() && runErr == nil {
		if !c.Keep {
			return os.RemoveAll(c.Dir)
		}
		return nil
	}
	if errors.Is(runErr, context.Canceled) {
		return runErr
	}
	o := report.Orders
	return fmt.Errorf("%w: %d sent, %d fulfilled, %d lost, %d duplicated; %s\nIts data and logs are in %s", errNotOK, o.Sent, o.Fulfilled, o.Lost, o.Duplicated, report.Error, c.Dir)
}

func (c rehearseCmd) write(s *surroundings, r rehearse.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if c.Report == "" {
		_, err = s.stdout.Write(b)
		return err
	}
	_, _ = fmt.Fprintf(s.stderr, "%d orders sent, %d fulfilled, %d lost, %d duplicated in %s; report in %s\n", r.Orders.Sent, r.Orders.Fulfilled, r.Orders.Lost, r.Orders.Duplicated,
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), c.Report)
	return os.WriteFile(c.Report, b, 0o644)
}
