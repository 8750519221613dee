package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// SignIn opens a session; the client uses it from then on.
func (c *Client) SignIn(ctx context.Context, name string, password migration.Secret) (migration.Actor, error) {
	var s Session
	err := c.try(ctx, func() error {
		err := c.call(ctx, http.MethodPost, "/api/v1/sessions", Credentials{name, password.Reveal()}, &s)
		if err != nil && !errors.Is(err, errLost) {
			return &finalError{err} // too many attempts is 503, and must not be hammered
		}
		return err
	})
	if f, ok := errors.AsType[*finalError](err); ok {
		return migration.Actor{}, f.err
	}
	if err != nil {
		return migration.Actor{}, err
	}
	c.token, c.actor = migration.Secret(s.Token), s.Actor
	return s.Actor, nil
}

// SignOut ends the session.
func (c *Client) SignOut(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/api/v1/sessions/current", nil, nil)
}

// WhoAmI says whose session the token is.
func (c *Client) WhoAmI(ctx context.Context) (migration.Actor, error) {
	if c.actor.Name != "" {
		return c.actor, nil
	}
	var s Session
	if err := c.get(ctx, "/api/v1/sessions/current", &s); err != nil {
		return migration.Actor{}, err
	}
	c.actor = s.Actor
	return s.Actor, nil
}

// Migrations lists the migrations.
func (c *Client) Migrations(ctx context.Context) ([]migration.Migration, error) {
	var l MigrationList
	err := c.get(ctx, "/api/v1/migrations", &l)
	return l.Migrations, err
}

// Overview gives everything about a migration at one time.
func (c *Client) Overview(ctx context.Context, mid string) (migration.Overview, error) {
	var o migration.Overview
	err := c.get(ctx, at(mid), &o)
	return o, err
}

// Criteria gives the checklist, judged now.
func (c *Client) Criteria(ctx context.Context, mid string) (migration.Checklist, error) {
	var l CriteriaList
	err := c.get(ctx, at(mid, "criteria"), &l)
	return l.Criteria, err
}

// Evidence lists observations of a check (empty: of all), newest first; limit 0 is the server's own.
func (c *Client) Evidence(ctx context.Context, mid, check string, limit int) ([]migration.Evidence, error) {
	var l EvidenceList
	err := c.get(ctx, at(mid, "evidence")+query("check", check, "limit", number(int64(limit))), &l)
	return l.Evidence, err
}

// Steps lists the steps and what can be done next.
func (c *Client) Steps(ctx context.Context, mid string) (StepList, error) {
	var l StepList
	err := c.get(ctx, at(mid, "steps"), &l)
	return l, err
}

// Plan previews what a step would do now. Nothing is changed.
func (c *Client) Plan(ctx context.Context, mid, step string, p migration.Params) (migration.StepPlan, error) {
	var sp migration.StepPlan
	pairs := []string{"to", string(p.To), "ramp", number(int64(p.Ramp))}
	for _, key := range migration.LimitKeys() {
		pairs = append(pairs, key, number(int64(*p.Limits.Of(key))))
	}
	err := c.get(ctx, at(mid, "steps", step, "plan")+query(pairs...), &sp)
	return sp, err
}

// Start begins a step. A run of the same step, parameters and requester that is open
// already counts as the one that was asked for, so a second call is harmless.
func (c *Client) Start(
	ctx context.Context,
	mid, step string,
	p migration.Params,
	planHash string,
) (migration.Run, error) {
	me, err := c.WhoAmI(ctx)
	if err != nil {
		return migration.Run{}, err
	}
	mine := func(r migration.Run) bool {
		return r.RequestedBy == me.Name && r.Step == step && r.Params == p && r.Rollback == ""
	}
	landed, err := c.watchFor(ctx, mid, step, mine)
	if err != nil {
		return migration.Run{}, err
	}
	run, err := c.verb(ctx, at(mid, "steps", step, "runs"), Start{p, planHash}, landed)
	if refused, ok := errors.AsType[*problemError](err); ok && refused.status == http.StatusConflict &&
		refused.runID != "" {
		if open, getErr := c.Run(ctx, refused.runID); getErr == nil && mine(open) {
			return open, nil
		}
	}
	return run, err
}

// watchFor notes the newest run of a step and returns a function that tells whether a
// newer one, that is ours, has appeared since.
func (c *Client) watchFor(
	ctx context.Context,
	mid, step string,
	mine func(migration.Run) bool,
) (func() (migration.Run, bool, error), error) {
	newest := func() (migration.Run, error) {
		runs, err := c.Runs(ctx, mid, step, 1)
		if err != nil || len(runs) == 0 {
			return migration.Run{}, err
		}
		return runs[0], nil
	}
	before, err := newest()
	return func() (migration.Run, bool, error) {
		r, err := newest()
		return r, err == nil && r.ID != "" && r.ID != before.ID && mine(r), err
	}, err
}

// Approve lets a waiting run start.
func (c *Client) Approve(ctx context.Context, runID string, d Decision) (migration.Run, error) {
	return c.decide(ctx, runID, "approve", d, true)
}

// Reject ends a waiting run; a comment is needed.
func (c *Client) Reject(ctx context.Context, runID string, d Decision) (migration.Run, error) {
	return c.decide(ctx, runID, "reject", d, false)
}

func (c *Client) decide(ctx context.Context, runID, verb string, d Decision, approve bool) (migration.Run, error) {
	me, err := c.WhoAmI(ctx)
	if err != nil {
		return migration.Run{}, err
	}
	return c.verb(ctx, runPath(runID, verb), d, func() (migration.Run, bool, error) {
		r, err := c.Run(ctx, runID)
		if err != nil || d.Action == "" {
			return r, err == nil && r.DecidedBy == me.Name &&
				(r.State != migration.RunAwaitingApproval || r.StartedAt != nil) &&
				(r.State != migration.RunRejected) == approve, err
		}
		return r, slices.ContainsFunc(r.Approvals, func(was migration.Consent) bool {
			return was.Action == d.Action && was.By == me.Name && was.Approved == approve
		}), nil
	})
}

// Pause holds a running run up at its next batch, where its action can be.
func (c *Client) Pause(ctx context.Context, runID string) (migration.Run, error) {
	return c.verb(ctx, runPath(runID, "pause"), nil, func() (migration.Run, bool, error) {
		r, err := c.Run(ctx, runID)
		return r, err == nil && r.PausedBy != "", err
	})
}

// Resume lets a paused run go on.
func (c *Client) Resume(ctx context.Context, runID string) (migration.Run, error) {
	return c.verb(ctx, runPath(runID, "resume"), nil, func() (migration.Run, bool, error) {
		r, err := c.Run(ctx, runID)
		return r, err == nil && r.PausedBy == "", err
	})
}

// Cancel stops an open run.
func (c *Client) Cancel(ctx context.Context, runID string) (migration.Run, error) {
	return c.verb(ctx, runPath(runID, "cancel"), nil, func() (migration.Run, bool, error) {
		r, err := c.Run(ctx, runID)
		return r, err == nil && (r.CancelledBy != "" || r.State == migration.RunCancelled), err
	})
}

// Rollback starts a run that takes a succeeded run back.
func (c *Client) Rollback(ctx context.Context, runID string) (migration.Run, error) {
	me, err := c.WhoAmI(ctx)
	if err != nil {
		return migration.Run{}, err
	}
	r, err := c.Run(ctx, runID)
	if err != nil {
		return r, err
	}
	landed, err := c.watchFor(
		ctx,
		r.MigrationID,
		r.Step,
		func(r migration.Run) bool { return r.RequestedBy == me.Name },
	)
	if err != nil {
		return r, err
	}
	return c.verb(ctx, runPath(runID, "rollback"), nil, landed)
}

// RollbackPlan previews what taking a run back would do.
func (c *Client) RollbackPlan(ctx context.Context, runID string) (migration.StepPlan, error) {
	var sp migration.StepPlan
	err := c.get(ctx, runPath(runID, "rollback-plan"), &sp)
	return sp, err
}

// Run gives one run with its actions.
func (c *Client) Run(ctx context.Context, id string) (migration.Run, error) {
	var r migration.Run
	err := c.get(ctx, runPath(id), &r)
	return r, err
}

// Runs lists runs of a step (empty: of all), newest first; limit 0 is the server's own.
func (c *Client) Runs(ctx context.Context, mid, step string, limit int) ([]migration.Run, error) {
	var l RunList
	err := c.get(ctx, at(mid, "runs")+query("step", step, "limit", number(int64(limit))), &l)
	return l.Runs, err
}

// RunQuery says which runs; empty fields are any.
type RunQuery struct {
	Step, State, Person string
	Before              string // id of a run: only older ones
	Limit               int
}

// FindRuns lists runs, newest first.
func (c *Client) FindRuns(ctx context.Context, mid string, f RunQuery) (RunList, error) {
	var l RunList
	err := c.get(ctx, at(mid, "runs")+query("step", f.Step, "state", f.State, "person", f.Person,
		"before", f.Before, "limit", number(int64(f.Limit))), &l)
	return l, err
}

// Log lists lines of a run's log after a sequence number.
func (c *Client) Log(ctx context.Context, runID string, after int64) (LogPage, error) {
	var p LogPage
	err := c.get(ctx, runPath(runID, "log")+query("after", number(after)), &p)
	return p, err
}

// Wait follows a run until it needs nobody any more, or a person must decide, and returns
// it as it then is. each, when not nil, is called with every reading.
func (c *Client) Wait(ctx context.Context, runID string, each func(migration.Run)) (migration.Run, error) {
	for {
		r, err := c.Run(ctx, runID)
		if err != nil {
			return r, err
		}
		if each != nil {
			each(r)
		}
		if !r.State.Open() || r.State == migration.RunAwaitingApproval {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Queues counts the jobs on both sides, now.
func (c *Client) Queues(ctx context.Context, mid string) (QueueBoard, error) {
	var b QueueBoard
	err := c.get(ctx, at(mid, "queues"), &b)
	return b, err
}

// Endpoints names the servers of both sides, without credentials.
func (c *Client) Endpoints(ctx context.Context, mid string) ([]Endpoint, error) {
	var l EndpointList
	err := c.get(ctx, at(mid, "endpoints"), &l)
	return l.Endpoints, err
}

// Workers lists the workers heard of in the last hour.
func (c *Client) Workers(ctx context.Context, mid string) ([]migration.Worker, error) {
	var l WorkerList
	err := c.get(ctx, at(mid, "workers"), &l)
	return l.Workers, err
}

// Ready asks the server whether it can serve, once, and gives the details.
func (c *Client) Ready(ctx context.Context) (map[string]string, error) {
	var detail map[string]string
	err := c.call(ctx, http.MethodGet, "/readyz", nil, &detail)
	return detail, err
}

// query writes the pairs that have a value as a query string.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" { //nolint:gosec // they come in pairs
			q.Set(pairs[i], pairs[i+1]) //nolint:gosec // as above
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// CutoverReport tells what would break if the source were left now.
func (c *Client) CutoverReport(ctx context.Context, mid string) (CutoverReport, error) {
	var r CutoverReport
	err := c.get(ctx, at(mid, "cutover-report"), &r)
	return r, err
}

// Export gives what the step Provision would bring about: format terraform or helm.
func (c *Client) Export(ctx context.Context, mid, format string) (Export, error) {
	var e Export
	err := c.get(ctx, at(mid, "exports", format), &e)
	return e, err
}

// RedisAudit gives the last whole audit of the source.
func (c *Client) RedisAudit(ctx context.Context, mid string) (RedisAudit, error) {
	var r RedisAudit
	err := c.get(ctx, at(mid, "redis-audit"), &r)
	return r, err
}

// BreakerProof gives what shows, queue by queue, that an add fails at once when Redis does.
func (c *Client) BreakerProof(ctx context.Context, mid string) (BreakerProof, error) {
	var b BreakerProof
	err := c.get(ctx, at(mid, "breaker"), &b)
	return b, err
}

// SubmitScan keeps what a scan of the app's source found as evidence.
func (c *Client) SubmitScan(ctx context.Context, mid string, f evidence.ScanFacts) error {
	return c.call(ctx, http.MethodPost, at(mid, "scans"), f, nil)
}

// ConfirmScanDecision stands by an accepted exception of the last submitted scan.
func (c *Client) ConfirmScanDecision(ctx context.Context, mid, finding string) error {
	return c.call(ctx, http.MethodPost,
		at(mid, "scans", "decisions", finding), nil, nil)
}

// ReplayLost fetches what was lost through the provider's API and hands it to the app, or only looks.
func (c *Client) ReplayLost(ctx context.Context, mid string, in Replay) (ReplayResult, error) {
	var out ReplayResult
	err := c.call(ctx, http.MethodPost, at(mid, "replays"), in, &out)
	return out, err
}

// Outage reads the outage clock, and what an outage of a length would do.
func (c *Client) Outage(ctx context.Context, mid string, length time.Duration) (Outage, error) {
	var o Outage
	err := c.get(ctx, at(mid, "outage")+"?for="+length.String(), &o)
	return o, err
}

// Debts lists what runs have put on servers and still have to take off.
func (c *Client) Debts(ctx context.Context, mid string) (Debts, error) {
	var d Debts
	err := c.get(ctx, at(mid, "debts"), &d)
	return d, err
}

// ChangeDebt lifts a debt, or drops it, and gives what is owed then.
func (c *Client) ChangeDebt(
	ctx context.Context, mid string, id int64, in DebtChange,
) (Debts, error) {
	var d Debts
	err := c.call(ctx, http.MethodPost, at(mid, "debts", number(id)), in, &d)
	return d, err
}

// Notifications gives the channels, the open alerts and what was sent last.
func (c *Client) Notifications(ctx context.Context, mid string) (Notifications, error) {
	var n Notifications
	err := c.get(ctx, at(mid, "notifications"), &n)
	return n, err
}

// Alerts gives the open alerts.
func (c *Client) Alerts(ctx context.Context, mid string) (Alerts, error) {
	var a Alerts
	err := c.get(ctx, at(mid, "alerts"), &a)
	return a, err
}

// AcknowledgeAlert says that who is signed in looks after an open alert.
func (c *Client) AcknowledgeAlert(ctx context.Context, mid, key, comment string) error {
	return c.call(ctx, http.MethodPost, at(mid, "alerts", "ack"), AlertAck{key, comment}, nil)
}

// TestNotification sends one channel a test; Conflict says why it was not taken.
func (c *Client) TestNotification(ctx context.Context, mid, channel string) (NotificationChannel, error) {
	var out NotificationChannel
	err := c.call(ctx, http.MethodPost, at(mid, "notifications", "test"), NotificationTest{channel}, &out)
	return out, err
}

// Capacity gives what the servers cost by the month, and how much of the plan's limits the queues need.
func (c *Client) Capacity(ctx context.Context, mid string) (Capacity, error) {
	var a Capacity
	err := c.get(ctx, at(mid, "capacity"), &a)
	return a, err
}

// Series gives what was measured over time: of the named series (none: all), since a time in
// RFC 3339 or a range such as 24h. points 0 is the server's own number.
func (c *Client) Series(
	ctx context.Context, mid, since string, points int, names ...string,
) (SeriesView, error) {
	var v SeriesView
	err := c.get(ctx, at(mid, "series")+query("name", strings.Join(names, ","), "since", since,
		"points", number(int64(points))), &v)
	return v, err
}

// Ledger gives the order ledger.
func (c *Client) Ledger(ctx context.Context, mid string) (LedgerOverview, error) {
	var l LedgerOverview
	err := c.get(ctx, at(mid, "ledger"), &l)
	return l, err
}

// LedgerOrder gives the life of one order, by its own id or its job's.
func (c *Client) LedgerOrder(ctx context.Context, mid, id string) (LedgerOrder, error) {
	var o LedgerOrder
	err := c.get(ctx, at(mid, "ledger", "orders")+"?id="+url.QueryEscape(id), &o)
	return o, err
}

// Queue gives one queue on both sides, in depth.
func (c *Client) Queue(ctx context.Context, mid, queue string) (QueueDetail, error) {
	var q QueueDetail
	err := c.get(ctx, at(mid, "queues", queue), &q)
	return q, err
}

// FindJobs looks for a job id in every queue of both sides.
func (c *Client) FindJobs(ctx context.Context, mid, id string) (FoundJobs, error) {
	var f FoundJobs
	err := c.get(ctx, at(mid, "jobs")+"?id="+url.QueryEscape(id), &f)
	return f, err
}

// SearchJobs looks for jobs by a field of their data on both sides for some seconds. It
// is done when the matches have no Next.
func (c *Client) SearchJobs(ctx context.Context, mid string, in JobSearch) (JobMatches, error) {
	var m JobMatches
	err := c.call(ctx, http.MethodPost, at(mid, "jobs", "search"), in, &m)
	return m, err
}

// ChangeJob retries, promotes or removes one job.
func (c *Client) ChangeJob(ctx context.Context, mid string, in JobChange) error {
	return c.call(ctx, http.MethodPost, at(mid, "jobs"), in, nil)
}
