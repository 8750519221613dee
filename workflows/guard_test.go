package workflows

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// moved is a Control whose queue was moved from off to dual write, between two real servers.
type moved struct {
	*bench
	src, dst *redistest.Server
	watch    environment.Watch
}

func openMoved(t *testing.T) *moved {
	t.Helper()
	m := &moved{src: redistest.Start(t), dst: redistest.Start(t)}
	cfg := settings(t.TempDir())
	cfg.Queues = []string{"orders"}
	cfg.Source.Standalone.URL = migration.Secret(m.src.URL())
	cfg.Ingestion.URL = ingestiontest.NewJournal(t).URL
	cfg.Migration.Soak = 50 * time.Millisecond
	cfg.Migration.Guardrails.MaxSilence = time.Second
	use := stepstest.Target(t, &cfg, m.dst)
	cutover := engine.Step{ID: migration.StepCutover}
	p := planOf(false, cutover)
	p.Criteria = nil
	m.bench = openBench(t, cfg, p, cutover)
	use(m.env)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { m.env.Journal.Run(ctx) })
	tasks.Go(func() { m.env.Streams.Follow(ctx, mid) })
	tasks.Go(func() { m.attest(ctx) })
	stop := m.close
	m.close = sync.OnceValue(func() error { cancel(); tasks.Wait(); return stop() })
	t.Cleanup(func() { _ = m.close() })
	_, err := m.env.Routing.Set(ctx, mid, migration.Routing{Stage: migration.StageOff,
		Source: migration.SourceStandalone}, "test", "test", "")
	ok(t, err)
	m.time.advance(10 * time.Second) // which workers get to be heard
	to := migration.Params{To: migration.StageDualWrite}
	redistest.Eventually(t, patience, func() error {
		_, err := m.Start(t.Context(), ada, mid, migration.StepCutover, to, "")
		return err
	})
	runs, err := m.Runs(t.Context(), mid, migration.StepCutover, 1)
	ok(t, err)
	_, err = m.Decide(t.Context(), bob, runs[0].ID, Decision{Approve: true})
	ok(t, err)
	m.awaitState(t, runs[0].ID, migration.RunSucceeded)
	return m
}

// attest is a worker that takes every revision of the flags over at once.
func (m *moved) attest(ctx context.Context) {
	for ctx.Err() == nil {
		if r, err := m.env.Routing.Read(ctx, mid); err == nil {
			_ = m.readers.Fleet.Attest(fleet.Attestation{Service: "shop", Instance: "web.1",
				Revision: r.Revision}, fleet.Who{Set: mid, Instance: "web.1"})
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// newest gives the newest run of the cutover, after the guard has looked once.
func (m *moved) newest(t *testing.T) migration.Run {
	t.Helper()
	ok(t, m.guardOne(t.Context(), mid, &m.watch))
	runs, err := m.Runs(t.Context(), mid, migration.StepCutover, 1)
	ok(t, err)
	return runs[0]
}

func TestATargetThatDiesAfterAMoveForwardTakesTheQueueBackByItself(t *testing.T) {
	t.Parallel()
	m := openMoved(t)
	if r := m.newest(t); r.RequestedBy != ada.Name {
		t.Fatalf("nothing is wrong, and %s starts %s", r.RequestedBy, r.Params.Move())
	}
	m.dst.Freeze()
	t.Cleanup(m.dst.Thaw)
	var back migration.Run
	redistest.Eventually(t, patience, func() error {
		if back = m.newest(t); back.RequestedBy != bySelf.Name {
			return engine.NotYet("the newest run is of %s", back.RequestedBy)
		}
		return nil
	})
	if back.Params.To != migration.StageOff || len(back.Plan.Observed) != 1 ||
		!strings.Contains(back.Plan.Observed[0].Value, "an add on the target took at least") {
		t.Errorf("%+v: %+v", back.Params, back.Plan.Observed)
	}
	if f, is := m.env.Vitals.Reported(mid); !is || !f.OnTarget() {
		t.Errorf("people are told of %+v", f)
	}
	m.awaitState(t, back.ID, migration.RunSucceeded)
	if r := m.newest(t); r.ID != back.ID {
		t.Errorf("at off another run begins: %+v", r.Params)
	}
	if _, is := m.env.Vitals.Reported(mid); is {
		t.Error("at off it is still told")
	}
	log, err := m.Audit(t.Context(), AuditFilter{Limit: 10})
	ok(t, err)
	said := false
	for _, e := range log {
		said = said || e.Actor == bySelf.Name && e.Action == "start" &&
			strings.Contains(e.Detail, "an add on the target")
	}
	if !said {
		t.Errorf("the audit log does not say why: %+v", log)
	}
}

func TestTheQueueDoesNotGoBackByItself(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		make func(t *testing.T, m *moved)
		told bool
	}{
		"to a source that stands still": {func(t *testing.T, m *moved) {
			m.src.Freeze()
			t.Cleanup(m.src.Thaw)
		}, false},
		"long after the move": {func(t *testing.T, m *moved) {
			m.time.advance(2 * m.env.Vitals.Limits.Watch)
			m.dst.Freeze()
			t.Cleanup(m.dst.Thaw)
		}, true},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			m := openMoved(t)
			c.make(t, m)
			for range 3 { // far enough apart for what lasts
				if r := m.newest(t); r.RequestedBy != ada.Name {
					t.Fatalf("%s starts %s", r.RequestedBy, r.Params.Move())
				}
				m.time.advance(2 * time.Second)
			}
			redistest.Eventually(t, patience, func() error {
				m.newest(t)
				if f, is := m.env.Vitals.Reported(mid); is != c.told {
					return engine.NotYet("people are told of %+v", f)
				}
				return nil
			})
		})
	}
}
