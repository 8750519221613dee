package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

const envSource = "SOURCE_REDIS_URL"

// initCmd drafts a configuration.
type initCmd struct {
	Dir      string   `help:"Where the files are written." type:"path" default:"." placeholder:"DIR"`
	Source   string   `help:"URL of the Redis that the queues are on. Default: SOURCE_REDIS_URL."`
	CA       string   `name:"ca" help:"CA certificate (PEM)." type:"path" placeholder:"FILE"`
	Sentinel []string `help:"host:port of each sentinel, where there are some already."`
	Master   string   `help:"What the sentinels call the master. Default: mymaster."`
	App      string   `help:"URL of the app. Default: http://127.0.0.1:3000."`
	NoInput  bool     `help:"Ask nothing, also at a terminal."`
}

const (
	defaultMaster = "mymaster"
	defaultApp    = "http://127.0.0.1:3000"
)

// Help tells what is written.
func (initCmd) Help() string {
	return "Looks for BullMQ queues on the source, and writes switchyard.yaml, with comments, and " +
		".env.example with the names of the secrets. No secret is written, and no file replaced. " +
		"Give the URL in SOURCE_REDIS_URL, where nobody sees the password. Then set the variables, " +
		"and ask switchyard doctor. At a terminal it asks for what is not given, and looks at each " +
		"address: whether it answers, what it is and which rights are missing. Needs no Switchyard " +
		"server."
}

// looking bounds the search for queues.
const looking = time.Minute

// Run looks, and writes.
func (c initCmd) Run(s *shell) error {
	redisconn.LogTo(slog.New(slog.DiscardHandler)) // what the server answers is told below
	file, env := filepath.Join(c.Dir, "switchyard.yaml"), filepath.Join(c.Dir, ".env.example")
	var target *config.DraftTarget
	if s.asks != nil && !c.NoInput {
		if err := free(file, env); err != nil { // before anybody answers questions
			return err
		}
		var err error
		if target, err = c.ask(s); err != nil {
			return err
		}
	}
	client, err := openURL(s, "source", c.Source, envSource, c.CA)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.ctx, looking)
	defer cancel()
	if err := redisconn.Ping(ctx, client); err != nil {
		return migration.Errorf(migration.KindOf(err), "%w; nothing was written", err)
	}
	found, err := bullmq.Look(ctx, client)
	if err != nil {
		return migration.Errorf(migration.KindOf(err), "%w; nothing was written", err)
	}
	d := config.Draft{Sentinels: c.Sentinel, Master: cmp.Or(c.Master, defaultMaster),
		App: cmp.Or(c.App, defaultApp), Label: "redis", Target: target}
	var others []string
	for _, f := range found.Queues() {
		if f.Kind != bullmq.KindBullMQ {
			others = append(others, f.String())
			continue
		}
		counts, err := bullmq.Census(ctx, client, f.Queue)
		if err != nil {
			return migration.Errorf(migration.KindOf(err), "%w; nothing was written", err)
		}
		d.Queues = append(d.Queues, config.DraftQueue{Name: f.Queue.String(),
			Scheduled: counts.Schedulers > 0})
	}
	text, err := d.YAML()
	if err != nil {
		return err
	}
	if err := writeNew(map[string][]byte{file: text, env: d.Env()}); err != nil {
		return err
	}
	return printed(s, false, nil, func(t table) {
		t.row("%s: %s", file, count(len(d.Queues), "BullMQ queue"))
		for _, o := range others {
			t.row("  also there, and not moved by flags: %s", o)
		}
		t.row("next: copy .env.example to .env, fill it in, and load it: set -a; . ./.env; set +a")
		if target != nil && len(target.Unsaid()) > 0 {
			t.row("then: fill in target.plan: switchyard config check %s names what is missing", file)
		}
		t.row("then: switchyard doctor --config %s", file)
	})
}

// ask asks for what is not given, and gives what is known of the managed Redis.
func (c *initCmd) ask(s *shell) (*config.DraftTarget, error) {
	a := answers{s, c}
	for _, of := range []func() error{a.source, a.sentinels, a.app} {
		if err := of(); err != nil {
			return nil, err
		}
	}
	return a.target()
}

// writeNew writes all of the files, or none: none of them may be there.
func writeNew(files map[string][]byte) error {
	if err := free(slices.Collect(maps.Keys(files))...); err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// free refuses when one of the files is there.
func free(files ...string) error {
	for _, path := range files {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			if err != nil {
				return migration.Errorf(migration.Invalid, "%w", err)
			}
			return migration.Errorf(migration.Conflict,
				"%s is there already; nothing was written: remove it, or give --dir", path)
		}
	}
	return nil
}
