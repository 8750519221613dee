package drill_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/drill"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
)

// subject is the app as the control plane reaches it.
type subject struct{ app *ingestion.Client }

func (s subject) Open(ctx context.Context, o drill.Opening) (drill.Opened, error) {
	r, err := s.app.DrillOpen(ctx, o.ID, o.Queue, o.Address, o.Intake)
	return drill.Opened{Ready: r.Ready, Intake: r.Intake, Instance: r.Instance,
		Refused: r.Refused}, err
}

func (s subject) Add(ctx context.Context, id, job string) (drill.Answer, error) {
	r, err := s.app.DrillAdd(ctx, id, job)
	return drill.Answer{Status: r.Status, Took: r.RoundTrip, Note: r.Error}, err
}

func (s subject) Restart(ctx context.Context, id string) error {
	return s.app.DrillRestart(ctx, id)
}

func (s subject) Backlog(ctx context.Context, id string) (drill.Backlog, error) {
	r, err := s.app.DrillBacklog(ctx, id)
	return drill.Backlog{Events: r.Backlog, Failure: r.Failure}, err
}

func (s subject) Close(ctx context.Context, id string) error {
	return s.app.DrillClose(ctx, id)
}

// startApp runs the real example app with one of its breakers. It reaches no Redis and
// no control plane, which a drill needs none of.
func startApp(t *testing.T, breaker, intake string) *ingestion.Client {
	t.Helper()
	program := "dist/main.js"
	if breaker != "on" {
		program = "test/unsafe.mjs" // the same app with producers as they are made elsewhere
	}
	_, app := ingestiontest.Start(t, program, "WEBHOOK_SECRET=none", "BREAKER="+breaker,
		"INTAKE="+intake, "INSTANCE_ID=web.1", "TMPDIR="+t.TempDir())
	return app
}

type outcome struct {
	status         int
	hung, enqueued bool
}

// expected by breaker and fault.
var expected = map[string]map[string]outcome{
	// A job may be there after a 503: the request was on its way when the deadline
	// came. That is why job ids are deterministic.
	"on": {"refused": {503, false, false}, "cold-start": {503, false, false}, "frozen": {503,
		false, true}, "blackhole": {503, false, true}, "oom": {503, false, false},
		"readonly": {503, false, false}, "reply-lost": {200, false, true}},
	// enableOfflineQueue: false alone: right when the connection is refused, a hang
	// wherever nothing says so.
	"flag": {"refused": {500, false, false}, "cold-start": {0, true, true},
		"frozen": {0, true, true}, "blackhole": {0, true, true}, "oom": {500, false, false},
		"readonly": {500, false, false}, "reply-lost": {200, false, true}},
	"off": {"refused": {0, true, true}, "cold-start": {0, true, true},
		"frozen": {0, true, true}, "blackhole": {0, true, true}, "oom": {500, false, false},
		"readonly": {500, false, false}, "reply-lost": {200, false, true}},
}

// TestTheMatrixShowsTheTrueDifferencesOfTheOptions runs every fault against the real
// app, once with each breaker. What is expected was measured before this code existed,
// with a stopwatch.
func TestTheMatrixShowsTheTrueDifferencesOfTheOptions(t *testing.T) {
	t.Parallel()
	binary, err := scratch.Find("")
	if err != nil {
		t.Fatal(err)
	}
	limits := drill.Limits{Answer: 9 * time.Second, Recover: 25 * time.Second}
	for _, breaker := range []string{"on", "flag", "off"} {
		t.Run(breaker, func(t *testing.T) {
			t.Parallel()
			intake := ""
			if breaker == "on" {
				intake = "durable"
			}
			app := startApp(t, breaker, intake)
			b, err := drill.NewBench(t.Context(), binary, "127.0.0.1:0", "")
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			cases, err := b.Run(t.Context(), subject{app}, "order-ingestion", drill.Faults,
				limits, func(s string) {
					t.Log(s)
				})
			if err != nil {
				t.Fatal(err)
			}
			tried := map[bool]int{}
			for _, c := range cases {
				tried[c.Intake]++
				want := expected[breaker][c.Fault]
				if c.Intake {
					// from disk, whatever Redis does, and delivered in the end
					want = outcome{200, false, true}
				}
				if c.Status != want.status || c.Hung != want.hung ||
					c.Enqueued != want.enqueued || c.Strays != 0 || c.Left != 0 {
					t.Errorf("%s: %+v, want %+v", c.Fault, c, want)
				}
				if c.Recovered < 0 || c.Instance != "web.1" {
					t.Errorf("%s: no job was accepted again, or none delivered: %+v", c.Fault,
						c)
				}
				t.Logf("%-12s intake %t status %d after %s hung %t enqueued %t recovered %s %s",
					c.Fault, c.Intake, c.Status, c.Took.Round(time.Millisecond), c.Hung,
					c.Enqueued, c.Recovered.Round(time.Millisecond), c.Note)
			}
			if want := map[bool]int{false: len(drill.Faults),
				true: len(drill.Faults)}; intake == "" && tried[true] != 0 ||
				intake != "" && !maps.Equal(tried, want) {
				t.Errorf("tried %v by intake, the app says %q", tried, intake)
			}
			refused, err := b.Run(t.Context(), subject{app}, "reports", drill.Faults, limits,
				func(string) {})
			if err != nil || len(refused) != 1 ||
				!strings.Contains(refused[0].Refused, "reports is none of order-ingestion") {
				t.Errorf("a queue of another app: %+v, %v", refused, err)
			}
		})
	}
}
