package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/workflows/steps/audit"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/cutoverreport"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/provision"
)

// Queues counts the jobs on both sides, now: of the pipeline's queues, and of every other
// one that the last survey saw.
func (c *Control) Queues(ctx context.Context, mid string) (migration.QueueBoard, error) {
	if err := c.known(ctx, mid); err != nil {
		return migration.QueueBoard{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	return c.env.Servers.Board(ctx, c.env.Surveys, mid, c.now()), nil
}

// Surveys gives what is known of the queues on both sides, and has it read again when it is old.
func (c *Control) Surveys(ctx context.Context, mid string) ([]SideSurvey, error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, err
	}
	return c.env.Surveys.Both(ctx, c.env.Servers, mid), nil
}

// LedgerOverview gives the order ledger. Anybody who is signed in may read it.
func (c *Control) LedgerOverview(ctx context.Context, mid string) (LedgerOverview, error) {
	if err := c.known(ctx, mid); err != nil {
		return LedgerOverview{}, err
	}
	return c.env.Streams.Overview(ctx, mid)
}

// LedgerOrder gives the life of one order, by its own id or its job's. NotFound when nobody
// has heard of it.
func (c *Control) LedgerOrder(ctx context.Context, mid, id string) (LedgerOrder, error) {
	if err := c.known(ctx, mid); err != nil {
		return LedgerOrder{}, err
	}
	return c.env.Streams.Order(ctx, mid, id)
}

// LedgerExceptions lists what was wrong with any order, not settled first, and says how
// many there are with this filter.
func (c *Control) LedgerExceptions(
	ctx context.Context,
	mid string,
	f LedgerFilter,
) (found []ledger.Exception, total int64, err error) {
	if err := c.known(ctx, mid); err != nil {
		return nil, 0, err
	}
	return c.env.Streams.Exceptions(ctx, mid, f)
}

// Outage reads the outage clock, and what an outage of a length would do.
func (c *Control) Outage(ctx context.Context, mid string, whatIf time.Duration) (Outage, error) {
	if err := c.known(ctx, mid); err != nil {
		return Outage{}, err
	}
	return c.outage.Read(whatIf)
}

// Capacity gives what is paid in each phase, what paying by use would come to, and how much
// of the plan's limits each side needs.
func (c *Control) Capacity(ctx context.Context, mid string) (Capacity, error) {
	if err := c.known(ctx, mid); err != nil {
		return Capacity{}, err
	}
	return c.costs.Capacity(ctx, mid)
}

// CutoverReport tells what would break if the source were left now, line by line, and how
// to clear it. It reads only.
func (c *Control) CutoverReport(ctx context.Context, mid string) (CutoverReport, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return CutoverReport{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return cutoverreport.Take(ctx, c.env, v), nil
}

// Export writes what the step Provision would bring about as Terraform, or as values for Helm.
func (c *Control) Export(ctx context.Context, mid, format string) (Export, error) {
	m, err := c.store.Migration(ctx, mid)
	if err != nil {
		return Export{}, err
	}
	return provision.ExportFor(format, m.Name, c.env.Managed.Service.Offer(), c.env.Vars.About())
}

// Exports lists the formats that Export has for the configured service.
func (c *Control) Exports() []string { return provision.Exports(c.env.Managed.Service.Offer()) }

// RedisAudit gives the last whole audit of the source. NotFound before there is one.
func (c *Control) RedisAudit(ctx context.Context, mid string) (RedisAudit, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return RedisAudit{}, err
	}
	last := v.LatestRun(migration.StepAudit)
	if last == nil {
		return RedisAudit{}, migration.Errorf(
			migration.NotFound,
			"the source was not audited yet: run the step Audit the source Redis",
		)
	}
	run, err := c.store.Run(ctx, last.ID)
	if err != nil {
		return RedisAudit{}, err
	}
	out := RedisAudit{RunID: run.ID, At: run.CreatedAt, Past: !v.Routing.HasSource()}
	for _, a := range run.Actions {
		if a.ID == audit.Inspect && a.Output != nil {
			if err := json.Unmarshal(a.Output, &out.Reports); err != nil {
				return RedisAudit{}, migration.Errorf(
					migration.NotFound,
					"the last audit is of an older version: run the step Audit the source Redis again",
				)
			}
		}
	}
	if facts, ok := environment.AuditFactsOf(v.Latest); ok {
		out.Now, out.NowAt = facts, v.Latest[evidence.Audit].ObservedAt
		if v.Routing.HasSource() {
			out.Alerts = facts.Alerts()
		}
	}
	return out, nil
}

// ReplayLost hands to the app what was lost: what the provider's API has, or what the
// caller gives. The app takes it in as a webhook: an order that is there already is not
// doubled. Nothing is handed over before all of it is read and known by its order.
// Engineers only. Unavailable while the order ledger is not current: what is missing is not
// known then.
func (c *Control) ReplayLost(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in Replay,
) (ReplayResult, error) {
	out, err := c.replayLost(ctx, a, mid, in)
	if !in.Look || err != nil {
		what := fmt.Sprintf("%.40s since %s", in.Provider, in.Since.UTC().Format(time.RFC3339))
		if len(in.Events) > 0 {
			what = fmt.Sprintf("%.40s, %d events of an export", in.Provider, len(in.Events))
		}
		c.audit(
			ctx,
			a,
			"replay",
			what,
			fmt.Sprintf(
				"%d missing, %d enqueued, %d refused",
				out.Missing,
				out.Enqueued,
				len(out.Refused),
			),
			err,
		)
	}
	return out, err
}

func (c *Control) replayLost(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in Replay,
) (ReplayResult, error) {
	none := ReplayResult{Events: []string{}, Refused: []string{}}
	if err := engineer(a); err != nil {
		return none, err
	}
	if err := c.known(ctx, mid); err != nil {
		return none, err
	}
	return c.outage.Replay(ctx, in)
}

// Notifications gives the channels, the open alerts and what was sent last.
func (c *Control) Notifications(ctx context.Context, mid string) (Notifications, error) {
	if err := c.known(ctx, mid); err != nil {
		return Notifications{}, err
	}
	return c.notifier.Notifications(ctx, mid)
}

// NotificationChannels gives how the configured channels fare, without their addresses.
func (c *Control) NotificationChannels(ctx context.Context) ([]NotificationChannel, error) {
	return c.notifier.Channels(ctx)
}

// AlertCounts counts the open alerts by severity.
func (c *Control) AlertCounts(ctx context.Context, mid string) (map[notify.Severity]int, error) {
	return c.notifier.AlertCounts(ctx, mid)
}

// Alerts gives the open alerts.
func (c *Control) Alerts(ctx context.Context, mid string) (Alerts, error) {
	if err := c.known(ctx, mid); err != nil {
		return Alerts{}, err
	}
	return c.notifier.Alerts(ctx, mid)
}

// UnseenAlerts counts the open alerts that nobody has acknowledged.
func (c *Control) UnseenAlerts(ctx context.Context, mid string) (int, error) {
	return c.notifier.Unseen(ctx, mid)
}

// AcknowledgeAlert notes that who is signed in looks after an open alert: it stays open and is
// not told again unless it gets worse. NotFound: it is not open; Conflict: somebody has already.
func (c *Control) AcknowledgeAlert(
	ctx context.Context, a migration.Actor, mid, key, comment string,
) error {
	err := engineer(a)
	if err == nil {
		err = c.known(ctx, mid)
	}
	if err == nil {
		err = c.notifier.Acknowledge(ctx, a.Name, mid, key, comment)
	}
	c.audit(ctx, a, "acknowledge alert", key, strings.TrimSpace(comment), err)
	return err
}

// TestNotification sends one channel a message that wakes nobody, now and once. Conflict
// says why it was not taken.
func (c *Control) TestNotification(
	ctx context.Context,
	a migration.Actor,
	mid, name string,
) (NotificationChannel, error) {
	channel, err := c.testNotification(ctx, a, mid, name)
	c.audit(ctx, a, "test", "notification channel "+name, "", err)
	return channel, err
}

func (c *Control) testNotification(
	ctx context.Context,
	a migration.Actor,
	mid, name string,
) (NotificationChannel, error) {
	if err := engineer(a); err != nil {
		return NotificationChannel{}, err
	}
	return c.notifier.Test(ctx, a.Name, mid, name)
}
