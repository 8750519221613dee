package twin

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// neighbourApp is another team's app, beside the twin's own.
func (t *Twin) neighbourApp() string {
	return filepath.Join(t.cfg.IngestionDir, "..", "neighbour", "app.mjs")
}

// startNeighbour starts the app that nobody knows of; at first it leaves something in another
// database too.
func (t *Twin) startNeighbour(ctx context.Context, first bool) error {
	old := t.endpoint("linode")
	if first {
		other := old
		other.URL = migration.Secret(old.URL.Reveal() + "/1")
		if err := t.command(ctx, "the neighbour", t.neighbourApp(), other, "leave"); err != nil {
			return err
		}
	}
	return t.pointNeighbour(old)
}

func (t *Twin) pointNeighbour(e redisconn.Endpoint) error {
	argv, env, err := t.pointed(t.neighbourApp(), e, "send", t.reportsFile("letters"))
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
