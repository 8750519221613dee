package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

type stepCmd struct {
	Plan  stepPlanCmd  `cmd:"" help:"Show what a step would do, without doing it."`
	Start stepStartCmd `cmd:"" help:"Start a step."`
}

type stepArgs struct {
	remote
	Step string          `arg:"" help:"Step, such as audit."`
	To   migration.Stage `help:"With cutover: stage to move to." placeholder:"STAGE"`
	Ramp int             `help:"With --to live: percent of orders that the target is primary for."`
}

func (c stepArgs) params() migration.Params { return migration.Params{To: c.To, Ramp: c.Ramp} }

type stepPlanCmd struct{ stepArgs }

// Run prints a plan.
func (c stepPlanCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	p, err := client.Plan(s.ctx, mid, c.Step, c.params())
	if err != nil {
		return err
	}
	return c.print(s, p, func(t table) { writeStepPlan(t, p) })
}

func writeStepPlan(t table, p migration.StepPlan) {
	t.row("%s\n%s\n\nPreconditions:", p.Summary, p.Impact)
	for _, g := range p.Gates {
		mark := "ok"
		if !g.OK {
			mark = "NOT MET"
		}
		t.row("  %s\t%s\t%s", mark, g.Title, g.Measured)
	}
	t.row("\nWhat will happen:")
	for i, a := range p.Actions {
		t.row("  %d.\t%s\t%s", i+1, a.Title, a.Changes)
	}
	for _, x := range p.Settings {
		after := "kept after a restart"
		if !x.Survives {
			after = "LOST when it restarts: it has no configuration file"
		}
		t.row("  setting\t%s on %s\t%q -> %q, %s", x.Name, x.Node, x.From, x.To, after)
	}
}

type stepStartCmd struct{ stepArgs }

// Run starts a step.
func (c stepStartCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	run, err := client.Start(s.ctx, mid, c.Step, c.params(), "")
	if err != nil {
		return err
	}
	return c.print(s, run, func(t table) { writeRun(t, run) })
}

type runCmd struct {
	Show     runShowCmd     `cmd:"" help:"Show a run and its log."`
	Approve  runApproveCmd  `cmd:"" help:"Approve a waiting run."`
	Reject   runRejectCmd   `cmd:"" help:"Reject a waiting run."`
	Pause    runPauseCmd    `cmd:"" help:"Pause a run that copies queues, which stay in use."`
	Resume   runResumeCmd   `cmd:"" help:"Resume a paused run."`
	Cancel   runCancelCmd   `cmd:"" help:"Stop an open run and undo what it did."`
	Rollback runRollbackCmd `cmd:"" help:"Roll back a run that succeeded."`
}

type runArgs struct {
	remote
	ID string `arg:"" name:"run" help:"Id of the run."`
}

// act opens the server, does one thing to the run and prints it.
func (c runArgs) act(s *shell, do func(*api.Client) (migration.Run, error)) error {
	client, _, err := c.open(s)
	if err != nil {
		return err
	}
	run, err := do(client)
	if err != nil {
		return err
	}
	return c.print(s, run, func(t table) { writeRun(t, run) })
}

type runShowCmd struct{ runArgs }

// Run prints a run with its log.
func (c runShowCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		run, err := client.Run(s.ctx, c.ID)
		if err != nil || c.JSON {
			return run, err
		}
		page, err := client.Log(s.ctx, c.ID, 0)
		for _, l := range page.Lines {
			_, _ = fmt.Fprintf(s.stdout, "%s %-5s %s %s\n",
				l.At.Format("15:04:05.000"), l.Level, l.Action, l.Message)
		}
		return run, err
	})
}

type runApproveCmd struct {
	runArgs
	Comment     string `help:"Comment for the audit log."`
	ConfirmName string `help:"The migration's name, for irreversible steps." placeholder:"NAME"`
	Action      string `help:"The action that a started run waits with." placeholder:"ID"`
}

// Run approves a run.
func (c runApproveCmd) Run(s *shell) error {
	d := api.Decision{Comment: c.Comment, ConfirmName: c.ConfirmName, Action: c.Action}
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Approve(s.ctx, c.ID, d)
	})
}

type runRejectCmd struct {
	runArgs
	Comment string `help:"Why, for the audit log." required:""`
	Action  string `help:"The action that a started run waits with." placeholder:"ID"`
}

// Run rejects a run.
func (c runRejectCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Reject(s.ctx, c.ID, api.Decision{Comment: c.Comment, Action: c.Action})
	})
}

type runPauseCmd struct{ runArgs }

// Run pauses a run.
func (c runPauseCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Pause(s.ctx, c.ID)
	})
}

type runResumeCmd struct{ runArgs }

// Run resumes a run.
func (c runResumeCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Resume(s.ctx, c.ID)
	})
}

type runCancelCmd struct{ runArgs }

// Run cancels a run.
func (c runCancelCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Cancel(s.ctx, c.ID)
	})
}

type runRollbackCmd struct{ runArgs }

// Run rolls a run back.
func (c runRollbackCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Rollback(s.ctx, c.ID)
	})
}

func writeRun(t table, r migration.Run) {
	t.row("run %s of %s: %s", r.ID, r.Step, r.State)
	if r.PausedBy != "" {
		t.row("paused by %s: %s", r.PausedBy, migration.RunCommand("resume", r.ID))
	}
	if r.Progress != "" && r.State.Open() {
		t.row("%s", r.Progress)
	}
	if r.Error != "" {
		t.row("%s", r.Error)
	}
	for _, a := range r.Actions {
		t.row("  %s\t%s\t%s", a.State, a.Title, a.Detail)
	}
	for _, a := range r.Actions {
		var f evidence.WatchFacts
		if json.Unmarshal(a.Output, &f) == nil { // else of another kind, or none
			writeKnocks(t, f)
		}
	}
	for _, c := range r.Approvals {
		answer := "approved"
		if !c.Approved {
			answer = "not approved"
		}
		t.row("  %s\t%s by %s\t%s", c.Action, answer, c.By, c.Comment)
	}
	if r.State != migration.RunAwaitingApproval {
		return
	}
	with := ""
	if a, ok := r.Waiting(); ok {
		with = " of: " + a.Title
	}
	t.row("\nIt waits for approval%s: %s", with, r.ApproveCommand("NAME"))
}

func writeKnocks(t table, f evidence.WatchFacts) {
	for _, k := range f.Knocks {
		there := "gone"
		if k.Connected {
			there = "still connected"
		}
		t.row("  connected\t%s on %s\t%s, user %s, library %s, last command %s, %s, %d refused, "+
			"last seen %s", k.Who(), k.Node, there, cmp.Or(k.User, "?"), cmp.Or(k.Library, "?"),
			cmp.Or(k.Command, "?"), count(k.Times, "connection"), k.Refused,
			k.LastSeen.Format(time.DateTime))
	}
}
