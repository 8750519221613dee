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
	if err := os.MkdirAll(filepath.Join(t.cfg.Dir, "reports"), 0o700); err != nil {
		return err
	}
	main, err := filepath.Abs(filepath.Join(t.cfg.IngestionDir, "dist", "reports.js"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", main, command, t.reportsFile(file))
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"REDIS_URL=" + e.URL.Reveal(), "REDIS_CA=" + e.CAFile,
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, dieWithParent()
	if err := t.spawn.start(cmd); err != nil {
		return fmt.Errorf("the shop's other app: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return errors.Join(
			fmt.Errorf("the shop's other app (%s): %w: %.500s", command, err, out.String()),
			context.Cause(ctx))
	}
	return nil
}

// IngestionDir is the folder of the twin's app, with its source.
func (t *Twin) IngestionDir() string { return t.cfg.IngestionDir }
