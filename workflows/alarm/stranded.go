package alarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// lookStranded logs once that it cannot be seen what the move to Sentinel has left behind.
func (n *Notifier) lookStranded(ctx context.Context) {
	err := n.tellStranded(ctx)
	if err != nil && ctx.Err() == nil && !n.blind {
		n.Log.Warn("what the move to Sentinel has left behind is not known", "err", err)
	}
	n.blind = err != nil
}

// stillFor is how long a queue has no worker before that is an alert: a restart is none.
const stillFor = 15 * time.Second

// tellStranded has told within seconds who still uses the server that the source side has left,
// and which queue nobody runs since. That somebody was waived before the move keeps nobody from
// hearing what became of them.
func (n *Notifier) tellStranded(ctx context.Context) error {
	all, err := n.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range all {
		found, left, err := n.Clients.Stranded(ctx, mig.ID)
		if err != nil && !left {
			return err
		}
		// Either server may be down, and the other is looked at all the same.
		var move migration.Run
		var queues []environment.StillQueue
		var unseen error
		if left {
			if move, unseen = n.Clients.Moved(ctx, mig.ID); unseen == nil {
				queues, unseen = n.Clients.Still(ctx, mig.ID, move)
			}
		}
		var s seen
		if err == nil {
			s = judgeStranded(found, left, mig.ID, move.ID)
		}
		if unseen == nil {
			q := n.still.judge(queues, mig.ID, move.ID, n.Now())
			s.alerts, s.judged = append(s.alerts, q.alerts...), append(s.judged, q.judged...)
		}
		for i := range s.alerts {
			s.alerts[i].URL = n.link(mig.ID, "steps", migration.StepSentinelMove)
		}
		if err := errors.Join(err, unseen, n.compare(ctx, mig, s, false)); err != nil {
			return err
		}
	}
	return nil
}

// judgeStranded makes an alert of each client. left: the source side has left the server.
func judgeStranded(found environment.Stranded, left bool, mid, move string) seen {
	s := seen{judged: []string{notify.Key(mid, "stranded")}}
	if !left {
		return s
	}
	for _, m := range found.Clients {
		s.alerts = append(s.alerts, notify.Event{
			Key:      notify.Key(mid, "stranded", strings.TrimPrefix(m.Key, "client:")),
			Severity: notify.Critical,
			Title:    m.Name + " still uses the old server",
			Text: fmt.Sprintf("%s. The server takes no writes since the move to Sentinel; it has "+
				"refused %s since it started. Point the app at Sentinel%s.", m.Why,
				migration.Count(int(found.Refused), "command"), wayBack(move)),
		})
	}
	return s
}

// standing is since when queues have had no worker, by the key of their alert.
type standing map[string]time.Time

// judge takes in a look, and makes an alert of each queue that was without a worker in every look
// for stillFor.
func (t standing) judge(
	queues []environment.StillQueue, mid, move string, now time.Time,
) seen {
	s := seen{judged: []string{notify.Key(mid, "still")}}
	seenNow := map[string]bool{}
	for _, q := range queues {
		key := notify.Key(mid, "still", q.Queue)
		seenNow[key] = true
		if t[key].IsZero() || now.Before(t[key]) {
			t[key] = now
		}
		if now.Sub(t[key]) < stillFor {
			continue
		}
		s.alerts = append(s.alerts, notify.Event{
			Key:      key,
			Severity: notify.Critical,
			Title:    "Nobody runs the queue " + q.Queue + " since the move to Sentinel",
			Text: fmt.Sprintf("%s on the new primary, and no worker of the queue is connected "+
				"there; the old server had one. Start its workers on Sentinel%s.",
				migration.Count(int(q.Jobs), "job waits", "jobs wait"), wayBack(move)),
		})
	}
	maps.DeleteFunc(t, func(key string, _ time.Time) bool {
		return s.judges(key) && !seenNow[key]
	})
	return s
}

// wayBack says how the move to Sentinel is taken back; "" where no run can be. An alert is told
// once, and the swap is not the last that the run does.
func wayBack(move string) string {
	if move == "" {
		return ""
	}
	return ", or take the move back once its run has ended: " +
		migration.RunCommand("rollback", move)
}
