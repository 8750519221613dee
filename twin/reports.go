package twin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// The shop's other app, whose queues no flag routes: examples/ingestion's reports.js. It
// fills its queues at the twin's first start, on the old server, and works them off when
// a rehearsal asks, wherever they are by then.

// Reports has the other app work off what is on the managed server, and gives how often
// each of its jobs ran. NotFound while there is no managed server.
func (t *Twin) Reports(ctx context.Context) (map[string]int, error) {
	password, there := t.managedPassword()
	if !there {
		return nil, migration.Errorf(migration.NotFound, "there is no managed server")
	}
	if err := t.reports(ctx, t.managedEndpoint(password), "work", t.reportsFile("ran")); err != nil {
		return nil, err
	}
	ran := map[string]int{}
	for _, file := range []string{"added", "ran"} {
		ids, err := os.ReadFile(t.reportsFile(file))
		if err != nil {
			return nil, err
		}
		for id := range strings.FieldsSeq(string(ids)) {
			if n, known := ran[id]; file == "added" {
				ran[id] = 0
			} else if known { // a scheduler's jobs have no ids beforehand
				ran[id] = n + 1
			}
		}
	}
	return ran, nil
}

func (t *Twin) reportsFile(name string) string { return filepath.Join(t.cfg.Dir, "reports", name) }

func (t *Twin) reports(ctx context.Context, e redisconn.Endpoint, command ...string) error {
	argv, env, err := t.reportsApp(e, command...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, dieWithParent()
	if err := t.spawn.start(cmd); err != nil {
		return fmt.Errorf("the shop's other app: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return errors.Join(
			fmt.Errorf("the shop's other app (%s): %w: %.500s", command[0], err, out.String()),
			context.Cause(ctx))
	}
	return nil
}

// reportsApp is how the other app is started, for a server.
func (t *Twin) reportsApp(
	e redisconn.Endpoint, command ...string,
) (argv, env []string, err error) {
	if err := os.MkdirAll(filepath.Join(t.cfg.Dir, "reports"), 0o700); err != nil {
		return nil, nil, err
	}
	main, err := filepath.Abs(filepath.Join(t.cfg.IngestionDir, "dist", "reports.js"))
	return append([]string{"node", main}, command...), []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"REDIS_URL=" + e.URL.Reveal(), "REDIS_CA=" + e.CAFile,
	}, err
}

// startNeighbour starts the app that nobody knows of; at first it leaves something in another
// database too.
func (t *Twin) startNeighbour(ctx context.Context, first bool) error {
	old := t.endpoint("linode")
	if first {
		other := old
		other.URL = migration.Secret(old.URL.Reveal() + "/1")
		if err := t.reports(ctx, other, "leave"); err != nil {
			return err
		}
	}
	return t.pointNeighbour(old)
}

func (t *Twin) pointNeighbour(e redisconn.Endpoint) error {
	argv, env, err := t.reportsApp(e, "stay", t.reportsFile("letters"))
	if err != nil {
		return err
	}
	t.neighbour = t.process("neighbour", "", 500*time.Millisecond,
		func() []string { return argv }, func() []string { return env })
	return t.neighbour.start()
}

// StopNeighbour ends the app that nobody knows of, as whoever owns it would.
func (t *Twin) StopNeighbour() { t.neighbour.stop(10 * time.Second) }

// MoveNeighbour starts it again on the managed server.
func (t *Twin) MoveNeighbour() error {
	password, there := t.managedPassword()
	if !there {
		return migration.Errorf(migration.NotFound, "there is no managed server")
	}
	return t.pointNeighbour(t.managedEndpoint(password))
}

// Letters gives how often each job of that app ran, by its id.
func (t *Twin) Letters() (map[string]int, error) {
	lines, err := os.ReadFile(t.reportsFile("letters"))
	ran := map[string]int{}
	for line := range strings.FieldsSeq(string(lines)) {
		if id := line[1:]; line[0] == '+' {
			ran[id] += 0
		} else {
			ran[id]++
		}
	}
	return ran, err
}

// IngestionDir is the folder of the twin's app, with its source.
func (t *Twin) IngestionDir() string { return t.cfg.IngestionDir }
