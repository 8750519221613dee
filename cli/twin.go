package cli

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/twin"
)

// app is the example app that a twin runs.
type app struct {
	Ingestion string `help:"The built example app." default:"examples/ingestion" type:"path"`
	Durable   bool   `help:"The app has a durable intake." name:"durable-intake"`
	Fleet     bool   `help:"Two instances of the app, and a second app with a routed queue."`
	Managed   string `help:"upstash, or url: nothing has an API." default:"" enum:",upstash,url"`
}

type twinCmd struct {
	app
	Dir  string  `help:"Folder for the twin's data." default:".switchyard/twin" type:"path"`
	Addr string  `help:"Address of the pages. Default: a free port." placeholder:"HOST:PORT"`
	Rate float64 `help:"Orders per second." default:"5"`
}

// Help tells what a twin is.
func (twinCmd) Help() string {
	return "Real Redis servers and sentinels, stand-ins of the providers' APIs, the example app, " +
		"order traffic and Switchyard, until Ctrl-C. With --durable-intake the app keeps orders " +
		"on disk before it acknowledges them. With --managed url no account is needed anywhere: " +
		"the managed Redis is at a URL from the start, and you switch machines off and set the " +
		"app's variable by hand, by what you type here. A folder stays of the kind that it has."
}

// Run keeps the twin up until the context ends.
func (c twinCmd) Run(s *shell) error {
	if c.Rate < 0 || c.Rate > 2000 {
		return migration.Errorf(migration.Invalid,
			"--rate %g: from 0 to 2000 orders per second", c.Rate)
	}
	t, err := startTwin(s, twin.Config{
		Dir: c.Dir, IngestionDir: c.Ingestion, Addr: c.Addr, Rate: c.Rate, DurableIntake: c.Durable,
		Managed: c.Managed, Fleet: c.Fleet,
	})
	if err != nil {
		return err
	}
	out := func(format string, args ...any) { _, _ = fmt.Fprintf(s.stdout, format+"\n", args...) }
	out("\nSwitchyard is at %s", t.URL())
	out("\nSign in as")
	for _, a := range t.Accounts() {
		out("  %-6s %s  (%s)", a.Name, a.Password, a.Role)
	}
	out("\nada works through the steps; grace approves the irreversible ones; lee can only look.")
	out("%g orders arrive per second. Data and logs are in %s.", c.Rate, c.Dir)
	out("Ctrl-C ends everything; make reset removes the data.\n")
	if t.ByHand() {
		out("%s\n", handHelp)
		go hands(s.ctx, t, os.Stdin, out) // ends with the process: a read cannot be interrupted
	}
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
	return twin.ResetAll(c.Dir, slog.New(slog.NewTextHandler(s.stderr, nil)))
}
