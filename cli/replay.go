package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

const (
	// replayBytes is how much of a file goes into one request, of which a server takes 1 MiB.
	replayBytes = 900_000
	// replayFile bounds the file.
	replayFile = 256 << 20
)

type replayCmd struct {
	remote
	Provider string        `arg:"" enum:"stripe,shopify,clickfunnels,copecart,cope" help:"Provider: stripe, shopify and clickfunnels can be asked; copecart and cope need --file."`
	Back     time.Duration `default:"72h" help:"How far back, up to 720h."`
	File     string        `help:"Take the events from this file instead of asking: the bodies of webhooks from an export, one JSON object a line, or a JSON array." type:"path" placeholder:"FILE"`
	Look     bool          `help:"Only tell what is missing; nothing is enqueued."`
}

// Run fetches what was lost, or reads it from a file, and hands it to the app. It fails while any is left, or when looking finds any.
func (c replayCmd) Run(s *shell) error {
	requests := []api.Replay{{Provider: c.Provider, Since: time.Now().Add(-c.Back), Look: c.Look}}
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
	var sum api.ReplayResult
	untried := 0
	for i, r := range requests {
		out, err := client.ReplayLost(s.ctx, mid, r)
		if err != nil {
			return fmt.Errorf("request %d of %d: %w", i+1, len(requests), err)
		}
		sum.Missing, sum.Known, sum.Enqueued, sum.Left = sum.Missing+out.Missing, sum.Known+out.Known, sum.Enqueued+out.Enqueued, sum.Left+out.Left
		sum.Events, sum.Refused = append(sum.Events, out.Events...), append(sum.Refused, out.Refused...)
		if out.Left > 0 && !c.Look { // the queue is down, or nobody answers
			for _, rest := range requests[i+1:] {
				untried += len(rest.Events)
			}
			break
		}
	}
	if err := c.print(s.stdout, sum, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "missing\t%d %s\nknown\t%d\nenqueued\t%d\n", sum.Missing, strings.Join(sum.Events, " "), sum.Known, sum.Enqueued)
		for _, r := range sum.Refused {
			_, _ = fmt.Fprintf(w, "refused\t%s\n", r)
		}
	}); err != nil {
		return err
	}
	switch left := sum.Missing - sum.Enqueued; {
	case untried > 0:
		return migration.Errorf(migration.Blocked, "%d events are missing still, and the %d after them were not tried: run it again, which takes none twice", left, untried)
	case left > 0:
		return migration.Errorf(migration.Blocked, "%d events are missing still", left)
	}
	return nil
}

// export reads the whole file, so that nothing of it is handed over unless all of it can be, and parts it into requests.
func (c replayCmd) export() ([]api.Replay, error) {
	f, err := os.Open(c.File)
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "--file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, replayFile+1))
	if err != nil {
		return nil, migration.Errorf(migration.Invalid, "--file: %w", err)
	}
	if len(text) > replayFile {
		return nil, migration.Errorf(migration.Invalid, "%s is larger than %d bytes: hand it over in parts", c.File, replayFile)
	}
	events, err := workflows.ReadEvents(c.Provider, text)
	if err != nil {
		return nil, migration.Errorf(migration.KindOf(err), "%s: %w", c.File, err)
	}
	var out []api.Replay
	for _, part := range parts(events, workflows.ReplayMost, replayBytes) {
		out = append(out, api.Replay{Provider: c.Provider, Look: c.Look, Events: part})
	}
	return out, nil
}

// parts parts events, in their order, into lists of at most so many events and so many bytes; one that is larger by itself makes a list.
func parts(events []json.RawMessage, most, size int) [][]json.RawMessage {
	var out [][]json.RawMessage
	bytes := 0
	for _, e := range events {
		if n := len(out); n == 0 || len(out[n-1]) == most || bytes+len(e)+1 > size {
			out, bytes = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], e)
		bytes += len(e) + 1 // and its comma
	}
	return out
}
