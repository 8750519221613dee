package migration

import (
	"testing"
	"time"
)

func TestEachNextStepIsSpelledAsItsCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		next NextStep
		want string
	}{
		{
			"a step without parameters",
			NextStep{Verb: VerbStart, Step: StepAudit},
			"switchyard step start audit",
		},
		{
			"a stage",
			NextStep{
				Verb: VerbStart, Step: StepCutover,
				Params: Params{To: StageDualWrite},
			},
			"switchyard step start cutover --to dualwrite",
		},
		{
			"a stage with a share of orders",
			NextStep{
				Verb: VerbStart, Step: StepCutover,
				Params: Params{To: StageLive, Ramp: 50},
			},
			"switchyard step start cutover --to live --ramp 50",
		},
		{
			"a scan, which belongs to a step but is none",
			NextStep{Verb: VerbScan, Step: StepBreakerDrill},
			"switchyard scan DIR --submit",
		},
		{
			"a run under way",
			NextStep{Verb: VerbWatch, Step: StepAudit, RunID: "r1"},
			"switchyard run show r1",
		},
		{
			"a run that waits for its start",
			NextStep{Verb: VerbApprove, Step: StepCutover, RunID: "r1"},
			"switchyard run approve r1",
		},
		{
			"a run that waits with an action",
			NextStep{Verb: VerbApprove, RunID: "r1", Action: "fence"},
			"switchyard run approve r1 --action fence",
		},
		{
			"an irreversible action",
			NextStep{
				Verb: VerbApprove, RunID: "r1", Action: "delete", ConfirmName: "Order pipeline",
			},
			"switchyard run approve r1 --action delete --confirm-name 'Order pipeline'",
		},
		{
			"a name that a shell would change",
			NextStep{Verb: VerbApprove, RunID: "r1", ConfirmName: "Ada's $HOME"},
			`switchyard run approve r1 --confirm-name 'Ada'\''s $HOME'`,
		},
		{
			"a name of one word",
			NextStep{Verb: VerbApprove, RunID: "r1", ConfirmName: "orders"},
			"switchyard run approve r1 --confirm-name orders",
		},
	} {
		if got := c.next.Command(); got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestAWaitingRunIsApprovedByTheSameCommand(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	run := func(approval Approval, started *time.Time) Run {
		return Run{
			ID: "r1", State: RunAwaitingApproval, StartedAt: started,
			Plan: StepPlan{Approval: approval, Actions: []ActionPlan{
				{ID: "look"}, {ID: "delete", Approval: ApprovalTwo},
			}},
		}
	}
	for rule, c := range map[string]struct {
		run  Run
		want string
	}{
		"one person approves": {run(ApprovalOne, nil), "switchyard run approve r1"},
		"a second person does": {
			run(ApprovalTwo, nil),
			"switchyard run approve r1 --confirm-name N",
		},
		"before one of its actions": {
			run(ApprovalOne, &started),
			"switchyard run approve r1 --action delete --confirm-name N",
		},
	} {
		if got := c.run.ApproveCommand("N"); got != c.want {
			t.Errorf("%s: %s, want %s", rule, got, c.want)
		}
	}
}
