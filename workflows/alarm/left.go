package alarm

import (
	"context"
	"fmt"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

var leftTitle = map[migration.DebtKind]string{
	migration.DebtFence:       "%s is fenced: it refuses writes, now or once it is promoted",
	migration.DebtClientPause: "%s is paused for clients",
	migration.DebtQueue:       "A queue on %s is paused",
	migration.DebtMove:        "The move of a queue on %s stopped halfway",
	migration.DebtSentinels:   "Sentinel %s does not watch the primary",
	migration.DebtProducer:    "The app at %s keeps a producer of a drill",
}

// left goes by a look at the servers themselves: what keeps one from its work and is no run's
// that is under way. Of a server that could not be asked nothing is over.
func (n *Notifier) left(ctx context.Context, mig migration.Migration) (seen, error) {
	looked, err := n.Debts.Look(ctx, mig.ID)
	if err != nil {
		return seen{}, err
	}
	return judgeLeft(looked, mig.ID, n.link(mig.ID, "redis-audit")), nil
}

func judgeLeft(looked environment.Looked, mid, link string) seen {
	var s seen
	if len(looked.Unasked) == 0 {
		s.judged = []string{notify.Key(mid, "left")}
	}
	for _, server := range looked.Asked {
		s.judged = append(s.judged, notify.Key(mid, "left", server))
	}
	for _, l := range looked.Left {
		title, known := leftTitle[l.Kind]
		if !known {
			title = "Something is left on %s"
		}
		s.alerts = append(s.alerts, notify.Event{
			Key:      notify.Key(mid, "left", l.Server, string(l.Kind)),
			Severity: notify.Critical,
			Title:    fmt.Sprintf(title, l.Server),
			Text:     l.Measured + ". " + l.Next + ".",
			URL:      link,
		})
	}
	return s
}
