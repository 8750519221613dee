package progress_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// allSteps is a view whose plan has steps that are disruptive and steps that are not.
func allSteps(stage migration.Stage, h *migration.Headline) progress.View {
	v := at(stage, 0)
	v.Headline = h
	for _, id := range []string{migration.StepAudit, migration.StepFixPolicy,
		migration.StepSentinelMove, migration.StepSentinelTest, migration.StepProvision,
		migration.StepBreakerDrill, migration.StepWebhookRetry, migration.StepCutover,
		migration.StepDualWrite, migration.StepMoveResidue} {
		v.Migration.Plan.Steps = append(v.Migration.Plan.Steps,
			migration.PlanStep{ID: id, Title: id})
	}
	return v
}

func TestNothingDisruptiveIsOfferedWhileOrdersAreAtRisk(t *testing.T) {
	t.Parallel()
	calm := &migration.Headline{Level: migration.Calm, Title: "No incident"}
	// a server that evicts is an incident whose remedy is a step; no order is at risk yet
	policy := &migration.Headline{Level: migration.Incident, Title: "evicts"}
	trouble := &migration.Headline{Level: migration.Attention, Title: "27 orders are overdue",
		First: "look", AtRisk: []string{"27 orders are overdue"}}
	for _, c := range []struct {
		rule  string
		stage migration.Stage
		h     *migration.Headline
		want  []string
	}{
		{"all is calm", migration.StageShadow, calm, []string{"start audit", "start fix-policy",
			"start sentinel-test", "start breaker-drill", "start webhook-retry",
			"start cutover to dual write", "start dual-write-validation", "start move-residue"}},
		{"an incident that endangers no order", migration.StageShadow, policy,
			[]string{"start audit", "start fix-policy", "start sentinel-test",
				"start breaker-drill", "start webhook-retry", "start cutover to dual write",
				"start dual-write-validation", "start move-residue"}},
		{"orders at risk: what reads, what mends and the way back stay",
			migration.StageShadow, trouble, []string{"start audit", "start fix-policy",
				"start cutover to dual write", "start dual-write-validation",
				"start move-residue"}},
		{"orders at risk before anything was moved", migration.StageOff, trouble,
			[]string{"start audit", "start fix-policy", "start provision",
				"start move-residue"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			if got := nexts(allSteps(c.stage, c.h)); !slices.Equal(got, c.want) {
				t.Errorf("offered %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheGateOfAnIncidentSaysWhatIsAtRiskAndWhatToDoFirst(t *testing.T) {
	t.Parallel()
	calmGate := func(h *migration.Headline, step string, p migration.Params) *migration.Gate {
		for _, g := range allSteps(migration.StageDualWrite, h).Needs(step, p) {
			if g.ID == progress.GateCalm {
				return &g
			}
		}
		return nil
	}
	ahead, back := move(migration.StageShadow, 0), move(migration.StageOff, 0)
	trouble := &migration.Headline{First: "Look them up.", AtRisk: []string{"2 orders are late",
		"a queue stands still"}}
	g := calmGate(trouble, migration.StepCutover, ahead)
	if g == nil || g.OK || g.Measured != "2 orders are late; a queue stands still" ||
		!strings.Contains(g.Next, "Look them up.") {
		t.Errorf("a move forward in trouble: %+v", g)
	}
	if g := calmGate(trouble, migration.StepCutover, back); g != nil {
		t.Errorf("a move back is held up by %+v", g)
	}
	if g := calmGate(trouble, migration.StepAudit, migration.Params{}); g != nil {
		t.Errorf("a look is held up by %+v", g)
	}
	unseen := &migration.Headline{Unknown: []string{"order ledger: cannot be read"}}
	if g := calmGate(unseen, migration.StepSentinelTest, migration.Params{}); g == nil || !g.OK ||
		!strings.Contains(g.Measured, "not asked: order ledger: cannot be read") {
		t.Errorf("what was not asked is not named: %+v", g)
	}
	open := &migration.Headline{Level: migration.Incident, Title: "A replica is gone"}
	if g := calmGate(open, migration.StepSentinelTest, migration.Params{}); g == nil || !g.OK ||
		!strings.Contains(g.Measured, "open, and does not block this: A replica is gone") {
		t.Errorf("what is open beside it is not named: %+v", g)
	}
	if g := calmGate(nil, migration.StepSentinelTest, migration.Params{}); g != nil {
		t.Errorf("nobody looked, and yet: %+v", g)
	}
}
