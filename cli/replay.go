package cli

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// replayFile bounds the file.
const replayFile = 256 << 20

type replayCmd struct {
	remote
	Provider string        `arg:"" enum:"${providers}" help:"${enum}."`
	Back     time.Duration `default:"72h" help:"How far back, up to 720h."`
	File     string        `help:"An export to read instead." type:"path" placeholder:"FILE"`
	Look     bool          `help:"Only say what is missing. Enqueues nothing."`
}

// Help tells where events come from.
func (replayCmd) Help() string {
	return "Stripe, Shopify and ClickFunnels are asked through their APIs; CopeCart and COPE " +
		"need --file: the bodies of webhooks, as one JSON object a line or as a JSON array. " +
		"Fails while events are missing."
}

// Run fetches what was lost, or reads it from a file, and hands it to the app. It fails while any
// is left, or when looking finds any.
func (c replayCmd) Run(s *shell) error {
	since := time.Now().Add(-c.Back)
	requests := []api.Replay{{Provider: c.Provider, Since: since, Look: c.Look}}
	if c.File != "" {
		var err error
		if requests, err = c.export(); err != nil {
			return err
		}
	}
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	sum, untried, err := client.ReplayAll(s.ctx, mid, requests)
	if err != nil {
		return err
	}
	if err := c.print(s, sum, func(t table) { writeReplay(t, sum) }); err != nil {
		return err
	}
	switch left := sum.Missing - sum.Enqueued; {
	case untried > 0:
		return migration.Errorf(migration.Blocked, "%s still missing, and the %d after them "+
			"were not tried: run it again, which enqueues none twice", areEvents(left), untried)
	case left > 0:
		return migration.Errorf(migration.Blocked, "%s still missing", areEvents(left))
	}
	return nil
}

func areEvents(n int) string {
	if n == 1 {
		return "1 event is"
	}
	return count(n, "event") + " are"
}

func writeReplay(t table, sum api.ReplayResult) {
	t.row("missing\t%d %s", sum.Missing, strings.Join(sum.Events, " "))
	t.row("known\t%d", sum.Known)
	t.row("enqueued\t%d", sum.Enqueued)
	for _, r := range sum.Refused {
		t.row("refused\t%s", r)
	}
}

// export reads the whole file, so that nothing of it is handed over unless all of it can be.
func (c replayCmd) export() ([]api.Replay, error) {
	f, err := os.Open(c.File)
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "--file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, replayFile+1))
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "--file: %w", err)
	}
	if len(text) > replayFile {
		return nil, migration.Errorf(migration.Invalid,
			"%s is larger than %d MiB: split it", c.File, replayFile>>20)
	}
	events, err := workflows.ReadEvents(c.Provider, text)
	if err != nil {
		return nil, migration.Errorf(migration.KindOf(err), "%s: %w", c.File, err)
	}
	return api.ReplayRequests(c.Provider, c.Look, events), nil
}
