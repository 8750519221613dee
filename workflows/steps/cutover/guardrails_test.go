package cutover

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// rails waits for a run that has written its guardrails down as wanted.
func (r *rig) rails(
	t *testing.T, run, id string, want migration.GuardrailState,
) migration.Guardrail {
	t.Helper()
	var found migration.Guardrail
	redistest.Eventually(t, stepstest.Patience, func() error {
		now, err := r.Store.Run(t.Context(), run)
		if err != nil {
			return err
		}
		seen, _ := migration.OutputOf[watched](now, "soak")
		for _, g := range seen.Guardrails {
			if g.ID == id && g.State == want {
				found = g
				return nil
			}
		}
		return engine.NotYet("%s: %+v", now.State, seen.Guardrails)
	})
	return found
}

func TestARunShowsTheGuardrailsByWhichItIsJudged(t *testing.T) {
	t.Parallel()
	r := open(t, time.Hour)
	run := r.Start(t, migration.StepCutover, migration.ParamsOf(toDualWrite))
	for _, rule := range run.Plan.Guardrails {
		g := r.rails(t, run.ID, rule.ID, migration.GuardrailHolds)
		if g.Value == "" || g.At == nil || g.GuardrailRule != rule {
			t.Errorf("%+v, planned %+v", g, rule)
		}
	}
	held := r.rails(t, run.ID, "answers-target", migration.GuardrailHolds)
	r.dst.Freeze()
	t.Cleanup(r.dst.Thaw)
	g := r.rails(t, run.ID, "answers-target", migration.GuardrailFails)
	if g.At == nil || g.At.Before(*held.At) || !strings.Contains(g.Why, "at least") ||
		strings.Contains(g.Value, "at least") {
		t.Errorf("a limit is shown as a value, or what was observed before is gone: %+v", g)
	}
	r.Await(t, run.ID, migration.RunFailed)
}

func TestWhatCannotBeReadIsUnknownAndKeepsTheAgeOfItsLastValue(t *testing.T) {
	t.Parallel()
	at := time.Now()
	rule := migration.GuardrailRule{ID: "refused"}
	reading := func(g migration.Guardrail) []environment.Reading {
		g.GuardrailRule = rule
		return []environment.Reading{{Guardrail: g}}
	}
	var w environment.Watch
	w.Rails(reading(migration.Guardrail{Value: "3", At: &at, State: migration.GuardrailHolds,
		Since: at}))
	got := w.Rails(reading(migration.Guardrail{State: migration.GuardrailUnknown, Why: "no answer",
		Since: at.Add(time.Minute)}))[0]
	if got.Value != "3" || !got.At.Equal(at) || got.State != migration.GuardrailUnknown ||
		!got.Since.Equal(at.Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestALimitOfAMoveIsWithinItsBoundsAndPartOfWhatIsApproved(t *testing.T) {
	t.Parallel()
	r := open(t, 0)
	plan := func(l migration.Limits) (migration.StepPlan, error) {
		p := migration.ParamsOf(toDualWrite)
		p.Limits = l
		return r.Plan(t.Context(), migration.StepCutover, p)
	}
	asConfigured, err := plan(migration.Limits{})
	if err != nil || len(asConfigured.Guardrails) != 9 {
		t.Fatalf("%+v, %v", asConfigured.Guardrails, err)
	}
	c := r.parts.Vitals.Limits
	latency := int(c.MaxLatency.Milliseconds())
	for _, tc := range []struct {
		rule string
		set  migration.Limits
		ok   bool
	}{
		{"stricter", migration.Limits{MaxRefused: 1, MaxLatencyMS: 5}, true},
		{"twice as loose", migration.Limits{MaxRefused: 2 * c.MaxRefused}, true},
		{"looser than that", migration.Limits{MaxRefused: 2*c.MaxRefused + 1}, false},
		{"latency twice", migration.Limits{MaxLatencyMS: 2 * latency}, true},
		{"latency above", migration.Limits{MaxLatencyMS: 2*latency + 1}, false},
		{"less than nothing", migration.Limits{MaxLatencyMS: -1}, false},
		{"a patience shorter than a slow answer", migration.Limits{MaxSilenceMS: 999}, false},
	} {
		got, err := plan(tc.set)
		switch {
		case tc.ok && (err != nil || got.Hash == asConfigured.Hash):
			t.Errorf("%s: %v, hash as without", tc.rule, err)
		case !tc.ok && migration.KindOf(err) != migration.Invalid:
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
	r.Route(t, migration.Routing{Stage: migration.StageDualWrite,
		Source: migration.SourceStandalone})
	if _, err := r.Plan(t.Context(), migration.StepCutover, migration.Params{
		To: migration.StageOff, Limits: migration.Limits{MaxRefused: 1},
	}); migration.KindOf(err) != migration.Invalid {
		t.Errorf("a move back with limits: %v", err)
	}
}

func TestAStricterLimitTakesBackWhatTheConfiguredOneLetsPass(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		set  int
		want migration.GuardrailState
	}{{"as configured", 0, migration.GuardrailHolds}, {"stricter", 1, migration.GuardrailFails}} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := open(t, time.Hour)
			p := migration.ParamsOf(toDualWrite)
			p.Limits.MaxRefused = tc.set
			run := r.Start(t, migration.StepCutover, p)
			r.rails(t, run.ID, "refused", migration.GuardrailHolds)
			r.write(t, refused(2)...)
			if tc.want == migration.GuardrailHolds {
				redistest.Eventually(t, stepstest.Patience, func() error {
					if g := r.rails(t, run.ID, "refused", tc.want); !strings.HasPrefix(g.Value, "2 ") {
						return engine.NotYet("%s", g.Value)
					}
					return nil
				})
				return
			}
			r.rails(t, run.ID, "refused", tc.want)
			if run = r.Await(t, run.ID, migration.RunFailed); !strings.Contains(run.Error,
				"limit 1") {
				t.Error(run.Error)
			}
		})
	}
}
