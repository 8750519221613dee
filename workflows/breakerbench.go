package workflows

import (
	"context"
	"net"
	"net/http"

	"github.com/switchyard-dev/switchyard/drill"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
)

const actionBench = "bench"

var benchFaults = drill.Faults

// drillBench has the app open producers with its own options to a server of the drill's, and lets that fail in every way. No order is touched.
func drillBench(ctx context.Context, c *Call) (any, error) {
	binary, err := scratch.Find(c.cfg.RedisServer)
	if err != nil {
		return nil, err
	}
	listen := c.cfg.Drill.Listen
	if listen == "" {
		host, err := drill.Reachable(ctx, c.cfg.Ingestion.URL)
		if err != nil {
			return nil, err
		}
		listen = net.JoinHostPort(host, "0")
	}
	b, err := drill.NewBench(ctx, binary, listen, c.cfg.Drill.Advertise)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var out []migration.BenchCase
	for _, q := range c.cfg.Queues {
		cases, err := b.Run(ctx, drilled{c.ingestion}, q, benchFaults, drill.Defaults(), func(s string) { c.Progress("%s", s) })
		for _, k := range cases {
			found := benchCase(k)
			verdict := "as it should"
			if ok, why := found.OK(); !ok {
				verdict = why
			}
			c.Log("%s, %s: %s; status %d after %d ms, job there: %t, accepted again after %d ms %s", q, k.Title, verdict, found.Status, found.MS, found.Enqueued, found.RecoveredMS, k.Note)
			out = append(out, found)
		}
		if httpapi.Status(err) == http.StatusNotFound {
			return nil, migration.Errorf(migration.Blocked, "the app knows no drills (404): serve POST /switchyard/drill with Drill of @switchyard/bullmq, then run the step again")
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func benchCase(k drill.Case) migration.BenchCase {
	ms := k.Recovered.Milliseconds()
	if k.Recovered < 0 {
		ms = -1
	}
	return migration.BenchCase{Queue: k.Queue, Fault: k.Fault, Title: k.Title, Status: k.Status, MS: k.Took.Milliseconds(), LimitMS: answerLimit.Milliseconds(), Hung: k.Hung, Enqueued: k.Enqueued,
		RecoveredMS: ms, Note: k.Note}
}

// drilled is the app as a drill sees it.
type drilled struct{ app *ingestion.Client }

// Open implements drill.Subject.
func (d drilled) Open(ctx context.Context, id, queue string, address migration.Secret) (bool, error) {
	return d.app.DrillOpen(ctx, id, queue, address)
}

// Add implements drill.Subject.
func (d drilled) Add(ctx context.Context, id, job string) (drill.Answer, error) {
	r, err := d.app.DrillAdd(ctx, id, job)
	return drill.Answer{Status: r.Status, Took: r.RoundTrip, Note: r.Error}, err
}

// Close implements drill.Subject.
func (d drilled) Close(ctx context.Context, id string) error { return d.app.DrillClose(ctx, id) }
