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
	if err := t.reports(ctx, t.managedEndpoint(password), "work", "ran"); err != nil {
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

func (t *Twin) reports(ctx context.Context, e redisconn.Endpoint, command, file string) error {
	return t.command(ctx, "the shop's other app", filepath.Join(t.cfg.IngestionDir, "dist",
		"reports.js"), e, command, t.reportsFile(file))
}

// command runs an app that is pointed at a server, to its end.
func (t *Twin) command(
	ctx context.Context, what, main string, e redisconn.Endpoint, args ...string,
) error {
	argv, env, err := t.pointed(main, e, args...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, dieWithParent()
	if err := t.spawn.start(cmd); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := cmd.Wait(); err != nil {
		return errors.Join(
			fmt.Errorf("%s (%s): %w: %.500s", what, args[0], err, out.String()),
			context.Cause(ctx))
	}
	return nil
}

// pointed is how an app is started that is pointed at a server by its environment.
func (t *Twin) pointed(
	main string, e redisconn.Endpoint, args ...string,
) (argv, env []string, err error) {
	if err := os.MkdirAll(filepath.Join(t.cfg.Dir, "reports"), 0o700); err != nil {
		return nil, nil, err
	}
	main, err = filepath.Abs(main)
	return append([]string{"node", main}, args...), []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"REDIS_URL=" + e.URL.Reveal(), "REDIS_CA=" + e.CAFile,
	}, err
}

// IngestionDir is the folder of the twin's app, with its source.
func (t *Twin) IngestionDir() string { return t.cfg.IngestionDir }
