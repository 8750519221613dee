package alarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
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

const (
	// strandedFor is how long a client must be seen: an app that changes servers has closed its
	// connections before the old one has noticed.
	strandedFor = 3 * time.Second
	// stillFor is how long a queue has no worker before that is an alert: a restart is none.
	stillFor = 15 * time.Second
)

// tellStranded has told within seconds who still uses the server that the source side has left,
// and which queue nobody runs since. That somebody was waived before the move keeps nobody from
// hearing what became of them.
func (n *Notifier) tellStranded(ctx context.Context) error {
	migrations, err := n.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range migrations {
		found, left, err := n.Clients.Stranded(ctx, mig.ID)
		if err != nil && !left {
			return err
		}
		open, serr := n.Store.OpenAlerts(ctx, mig.ID)
		if serr != nil {
			return serr
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
			all := judgeStranded(found, left, mig.ID, move.ID)
			s = n.sighted.judge(all, strandedFor, open, n.Now())
			if len(s.alerts) < len(all.alerts) {
				time.AfterFunc(strandedFor, n.Wake)
			}
		}
		if unseen == nil {
			q := n.sighted.judge(judgeStill(queues, mig.ID, move.ID), stillFor, open, n.Now())
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
			Title:    m.Name + " is still connected to the old server",
			Text: fmt.Sprintf("%s. The server takes no writes since the move to Sentinel; it has "+
				"refused %s since it started. Point the app at Sentinel%s.", m.Why,
				migration.Count(int(found.Refused), "command"), wayBack(move)),
		})
	}
	return s
}

// judgeStill makes an alert of each queue that nobody runs.
func judgeStill(queues []environment.StillQueue, mid, move string) seen {
	s := seen{judged: []string{notify.Key(mid, "still")}}
	for _, q := range queues {
		s.alerts = append(s.alerts, notify.Event{
			Key:      notify.Key(mid, "still", q.Queue),
			Severity: notify.Critical,
			Title:    "Nobody runs the queue " + q.Queue + " since the move to Sentinel",
			Text: fmt.Sprintf("%s on the new primary, and no worker of the queue is connected "+
				"there; the old server had one. Start its workers on Sentinel%s.",
				migration.Count(int(q.Jobs), "job waits", "jobs wait"), wayBack(move)),
		})
	}
	return s
}

// sightings is since when each look has seen what is an alert once it lasts, by its key.
type sightings map[string]time.Time

// judge takes in a look, and leaves of its alerts those that every look has seen for a while, or
// that are open: another process may have seen them begin.
func (t sightings) judge(
	s seen, lasts time.Duration, open []store.OpenAlert, now time.Time,
) seen {
	out := seen{judged: s.judged}
	here := map[string]bool{}
	for _, a := range s.alerts {
		here[a.Key] = true
		if t[a.Key].IsZero() || now.Before(t[a.Key]) {
			t[a.Key] = now
		}
		if now.Sub(t[a.Key]) >= lasts || slices.ContainsFunc(open,
			func(was store.OpenAlert) bool { return was.Key == a.Key }) {
			out.alerts = append(out.alerts, a)
		}
	}
	maps.DeleteFunc(t, func(key string, _ time.Time) bool { return s.judges(key) && !here[key] })
	return out
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
