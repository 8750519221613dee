package alarm

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// lookStranded logs once that it cannot be seen who uses the old server.
func (n *Notifier) lookStranded(ctx context.Context) {
	err := n.tellStranded(ctx)
	if err != nil && ctx.Err() == nil && !n.blind {
		n.Log.Warn("who still uses the old server is not known", "err", err)
	}
	n.blind = err != nil
}

// tellStranded has told within seconds who still uses the server that the source side has left.
// That somebody was waived before the move keeps nobody from hearing what became of them.
func (n *Notifier) tellStranded(ctx context.Context) error {
	all, err := n.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range all {
		found, left, err := n.Clients.Stranded(ctx, mig.ID)
		if err != nil {
			return err
		}
		back := ""
		if len(found.Clients) > 0 {
			if back, err = n.wayBack(ctx, mig.ID); err != nil {
				return err
			}
		}
		s := judgeStranded(found, left, mig.ID, back)
		for i := range s.alerts {
			s.alerts[i].URL = n.link(mig.ID, "steps", migration.StepSentinelMove)
		}
		if err := n.compare(ctx, mig, s, false); err != nil {
			return err
		}
	}
	return nil
}

// wayBack is the command that takes the move to Sentinel back once its run has ended; "" where
// there is none.
func (n *Notifier) wayBack(ctx context.Context, mid string) (string, error) {
	runs, err := n.Store.Runs(ctx, mid, migration.StepSentinelMove, 1)
	if err != nil || len(runs) == 0 {
		return "", err
	}
	// The swap is not the last that the run does, and an alert is told once.
	last := runs[0]
	if last.Rollback != "" || !last.State.Open() && last.State != migration.RunSucceeded {
		return "", nil
	}
	return migration.RunCommand("rollback", last.ID), nil
}

// judgeStranded makes an alert of each client. left: the source side has left the server.
func judgeStranded(found environment.Stranded, left bool, mid, back string) seen {
	s := seen{judged: []string{notify.Key(mid, "stranded")}}
	if !left {
		return s
	}
	for _, m := range found.Clients {
		text := fmt.Sprintf("%s. The server takes no writes since the move to Sentinel; it has "+
			"refused %s since it started.", m.Why, migration.Count(int(found.Refused), "command"))
		if len(found.Idle) > 0 {
			text += " On the new primary nobody runs " + strings.Join(found.Idle, ", ") + "."
		}
		text += " Point the app at Sentinel"
		if back != "" {
			text += ", or take the move back once its run has ended: " + back
		}
		s.alerts = append(s.alerts, notify.Event{
			Key:      notify.Key(mid, "stranded", strings.TrimPrefix(m.Key, "client:")),
			Severity: notify.Critical,
			Title:    m.Name + " still uses the old server",
			Text:     text + ".",
		})
	}
	return s
}
