package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type replayCmd struct {
	remote
	Provider string        `arg:"" enum:"stripe" help:"Provider to ask: stripe."`
	Back     time.Duration `default:"72h" help:"How far back, up to 720h."`
	Look     bool          `help:"Only tell what is missing; nothing is enqueued."`
}

// Run fetches events that the provider gave up on and hands them to the app. It fails while any is left, or when looking finds any.
func (c replayCmd) Run(s *surroundings) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	out, err := client.ReplayLost(s.ctx, mid, api.Replay{Provider: c.Provider, Since: time.Now().Add(-c.Back), Look: c.Look})
	if err != nil {
		return err
	}
	if err := c.print(s.stdout, out, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "missing\t%d %s\nenqueued\t%d\n", out.Missing, strings.Join(out.Events, " "), out.Enqueued)
		for _, r := range out.Refused {
			_, _ = fmt.Fprintf(w, "refused\t%s\n", r)
		}
	}); err != nil {
		return err
	}
	if left := out.Missing - out.Enqueued; left > 0 {
		return migration.Errorf(migration.Blocked, "%d events are missing still", left)
	}
	return nil
}
