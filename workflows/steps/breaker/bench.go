package breaker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/drill"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const Bench = "bench"

var Faults = drill.Faults

const (
	// benchUsual and benchWorst are how long one queue takes: where adds fail in time, and
	// where each hangs until the drill gives up. Durable intake takes as long again.
	benchUsual, benchWorst = 10 * time.Second, 5 * time.Minute
	benchTimeout           = 3 * time.Hour
)

// benchQueues are those of the configuration, then the others that a live worker attests a
// producer of.
func (s Parts) benchQueues(mid string) []string {
	names := slices.Clone(s.Queues)
	for _, q := range environment.AttestedQueues(s.Workers.Producers(mid)) {
		if !slices.Contains(names, q) {
			names = append(names, q)
		}
	}
	return names
}

func (s Parts) benchEstimate(mid string) string {
	queues := s.benchQueues(mid)
	n := time.Duration(len(queues))
	return fmt.Sprintf(
		"It injects %s on each of %s (%s), one after the other: about %s in total, up to %s if "+
			"enqueues hang; twice as long with durable intake.",
		migration.Count(len(Faults), "fault"),
		migration.Count(len(queues), "queue"),
		strings.Join(queues, ", "),
		migration.Words(n*benchUsual),
		migration.Words(n*benchWorst),
	)
}

// drillBench has the app open producers with its own options to a server of the drill's,
// and lets that fail in every way. No order is touched.
func (s Parts) drillBench(ctx context.Context, c *engine.Call) (any, error) {
	if err := s.Debts.LiftEarlier(ctx, c, migration.DebtProducer); err != nil {
		return nil, err
	}
	binary, err := scratch.Find(s.RedisServer)
	if err != nil {
		return nil, err
	}
	listen := s.Drill.Listen
	if listen == "" {
		host, err := drill.Reachable(ctx, s.AppURL)
		if err != nil {
			return nil, err
		}
		listen = net.JoinHostPort(host, "0")
	}
	b, err := drill.NewBench(ctx, binary, listen, s.Drill.Advertise)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	// a queue that nobody has had the time to attest would be left out
	if err := s.Workers.AwaitWarm(ctx); err != nil {
		return nil, err
	}
	var out []evidence.BenchCase
	for _, q := range s.benchQueues(c.Run.MigrationID) {
		cases, err := b.Run(
			ctx,
			&drilled{app: s.App, owed: c, at: map[string]string{}},
			q,
			Faults,
			drill.Defaults(),
			func(text string) { c.Progress("%s", text) },
		)
		for _, k := range cases {
			found := benchCase(k, s.answerLimit())
			verdict := "OK"
			if ok, why := found.OK(); !ok {
				verdict = why
			}
			out = append(out, found)
			if k.Refused != "" {
				c.Warn(
					"%s: %s; add the queue to Drill's queues in the app, or have the app that "+
						"makes it serve the drill",
					found.Name(),
					verdict,
				)
				continue
			}
			again := "accepting again"
			if k.Intake {
				again = "all delivered"
			}
			job := "no job written"
			if found.Enqueued {
				job = "job written"
			}
			c.Log(
				"%s: %s: %d in %d ms, %s, %s: %s %s",
				found.Name(),
				verdict,
				found.Status,
				found.MS,
				job,
				again,
				found.RecoveredMS.Text(after),
				k.Note,
			)
		}
		if httpapi.Status(err) == http.StatusNotFound {
			return nil, migration.Errorf(
				migration.Blocked,
				"the app does not support drills (404): serve POST /switchyard/drill with Drill "+
					"of "+
					"@switchyard/bullmq, then run the step again",
			)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// after writes when the app worked again.
func after(ms int64) string { return "after " + migration.Millis(ms) }

func benchCase(k drill.Case, limit time.Duration) evidence.BenchCase {
	var recovered migration.Figure // k.Recovered is negative where it was not seen
	if k.Recovered >= 0 {
		recovered = migration.Measured(k.Recovered.Milliseconds())
	}
	return evidence.BenchCase{
		Queue:       k.Queue,
		Fault:       k.Fault,
		Title:       k.Title,
		Intake:      k.Intake,
		Status:      k.Status,
		MS:          k.Took.Milliseconds(),
		LimitMS:     limit.Milliseconds(),
		Hung:        k.Hung,
		Enqueued:    k.Enqueued,
		Strays:      k.Strays,
		Left:        k.Left,
		RecoveredMS: recovered,
		Note:        k.Note,
		Instance:    k.Instance,
		Refused:     k.Refused,
	}
}

// drilled is the app as a drill sees it.
type drilled struct {
	app  environment.App
	owed migration.Debts
	at   map[string]string // the address that has a producer, by its id
}

// Open implements drill.Subject.
func (d *drilled) Open(ctx context.Context, o drill.Opening) (drill.Opened, error) {
	var out drill.Opened
	err := d.app.Adding(o.Queue, func(at environment.Instance) (string, error) {
		err := d.owed.Owe(ctx, migration.Debt{Kind: migration.DebtProducer, Server: at.URL,
			What: o.ID, Set: "open"})
		if err != nil {
			return "", err
		}
		d.at[o.ID] = at.URL
		r, err := at.DrillOpen(ctx, o.ID, o.Queue, o.Address, o.Intake)
		if err == nil && r.Refused != "" { // and has none open
			err = d.owed.Paid(ctx, migration.DebtProducer, at.URL, o.ID)
		}
		out = drill.Opened{Ready: r.Ready, Intake: r.Intake, Instance: r.Instance, Refused: r.Refused}
		return r.Refused, err
	})
	if out.Refused != "" && migration.KindOf(err) == migration.Blocked { // all refuse
		err = nil
	}
	return out, err
}

// Add implements drill.Subject.
func (d *drilled) Add(ctx context.Context, id, job string) (drill.Answer, error) {
	r, err := d.app.At(d.at[id]).DrillAdd(ctx, id, job)
	return drill.Answer{Status: r.Status, Took: r.RoundTrip, Note: r.Error}, err
}

// Restart implements drill.Subject.
func (d *drilled) Restart(ctx context.Context, id string) error {
	return d.app.At(d.at[id]).DrillRestart(ctx, id)
}

// Backlog implements drill.Subject.
func (d *drilled) Backlog(ctx context.Context, id string) (drill.Backlog, error) {
	r, err := d.app.At(d.at[id]).DrillBacklog(ctx, id)
	return drill.Backlog{Events: r.Backlog, Failure: r.Failure}, err
}

// Close implements drill.Subject.
func (d *drilled) Close(ctx context.Context, id string) error {
	if err := d.app.At(d.at[id]).DrillClose(ctx, id); err != nil {
		return err
	}
	return d.owed.Paid(ctx, migration.DebtProducer, d.at[id], id)
}
