package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
	Master   string   `help:"What the sentinels call the master." default:"mymaster"`
	App      string   `help:"URL of the app." default:"http://127.0.0.1:3000"`
}

// Help tells what is written.
func (initCmd) Help() string {
	return "Looks for BullMQ queues on the source, and writes switchyard.yaml, with comments, and " +
		".env.example with the names of the secrets. No secret is written, and no file replaced. " +
		"Give the URL in SOURCE_REDIS_URL, where nobody sees the password. Then set the variables, " +
		"and ask switchyard doctor. Needs no Switchyard server."
}

// looking bounds the search for queues.
const looking = time.Minute

// Run looks, and writes.
func (c initCmd) Run(s *shell) error {
	redisconn.LogTo(slog.New(slog.DiscardHandler)) // what the server answers is told below
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
	d := config.Draft{Sentinels: c.Sentinel, Master: c.Master, App: c.App, Label: "redis"}
	var others []string
	for _, f := range found.Queues() {
		if f.Kind == bullmq.KindBullMQ {
			d.Queues = append(d.Queues, f.Queue.String())
		} else {
			others = append(others, f.String())
		}
	}
	text, err := d.YAML()
	if err != nil {
		return err
	}
	file := filepath.Join(c.Dir, "switchyard.yaml")
	if err := writeNew(map[string][]byte{file: text,
		filepath.Join(c.Dir, ".env.example"): d.Env()}); err != nil {
		return err
	}
	return printed(s, false, nil, func(t table) {
		t.row("%s: %s", file, count(len(d.Queues), "BullMQ queue"))
		for _, o := range others {
			t.row("  also there, and not moved by flags: %s", o)
		}
		t.row("next: copy .env.example to .env, fill it in, and load it: set -a; . ./.env; set +a")
		t.row("then: switchyard doctor --config %s", file)
	})
}

// writeNew writes all of the files, or none: none of them may be there.
func writeNew(files map[string][]byte) error {
	for path := range files {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			if err != nil {
				return migration.Errorf(migration.Invalid, "%w", err)
			}
			return migration.Errorf(migration.Conflict,
				"%s is there already; nothing was written: remove it, or give --dir", path)
		}
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}
