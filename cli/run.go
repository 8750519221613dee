package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type stepCmd struct {
	Plan  stepPlanCmd  `cmd:"" help:"Show what a step would do, without doing it."`
	Start stepStartCmd `cmd:"" help:"Start a step."`
}

type stepArgs struct {
	remote
	Step string          `arg:"" help:"Step, such as audit."`
	To   migration.Stage `help:"Stage to move to, with cutover." placeholder:"STAGE"`
	Ramp int             `help:"Percent of orders whose authority is the target, with --to live."`
}

type stepPlanCmd struct{ stepArgs }

// Run prints a plan.
func (c stepPlanCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	p, err := client.Plan(s.ctx, mid, c.Step, migration.Params{To: c.To, Ramp: c.Ramp})
	if err != nil {
		return err
	}
	return c.print(s.stdout, p, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s\n%s\n\nPreconditions:\n", p.Summary, p.Impact)
		for _, g := range p.Gates {
			mark := "ok"
			if !g.OK {
				mark = "NOT MET"
			}
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", mark, g.Title, g.Measured)
		}
		_, _ = fmt.Fprintln(w, "\nWhat will happen:")
		for i, a := range p.Actions {
			_, _ = fmt.Fprintf(w, "  %d.\t%s\t%s\n", i+1, a.Title, a.Changes)
		}
		for _, x := range p.Settings {
			after := "kept after a restart"
			if !x.Survives {
				after = "LOST when it restarts: it has no configuration file"
			}
			_, _ = fmt.Fprintf(w, "  setting\t%s on %s\t%q -> %q, %s\n", x.Name, x.Node, x.From, x.To, after)
		}
	})
}

type stepStartCmd struct{ stepArgs }

// Run starts a step.
func (c stepStartCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	run, err := client.Start(s.ctx, mid, c.Step, migration.Params{To: c.To, Ramp: c.Ramp}, "")
	if err != nil {
		return err
	}
	return c.print(s.stdout, run, func(w io.Writer) { printRun(w, run) })
}

func printRun(w io.Writer, r migration.Run) {
	_, _ = fmt.Fprintf(w, "run %s of %s: %s\n", r.ID, r.Step, r.State)
	if r.PausedBy != "" {
		_, _ = fmt.Fprintf(w, "paused by %s: switchyard run resume %s\n", r.PausedBy, r.ID)
	}
	if r.Progress != "" && r.State.Open() {
		_, _ = fmt.Fprintln(w, r.Progress)
	}
	if r.Error != "" {
		_, _ = fmt.Fprintln(w, r.Error)
	}
	for _, a := range r.Actions {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", a.State, a.Title, a.Detail)
	}
	for _, a := range r.Actions {
		var f migration.WatchFacts
		if json.Unmarshal(a.Output, &f) != nil { // of another kind, or none
			continue
		}
		for _, k := range f.Knocks {
			there := "gone"
			if k.Connected {
				there = "still there"
			}
			_, _ = fmt.Fprintf(w, "  knocked\t%s on %s\t%s, user %s, library %s, last command %s, %d connections, %d refused, last seen %s\n", k.Who(), k.Node, there, cmp.Or(k.User, "?"), cmp.Or(k.Library, "?"),
				cmp.Or(k.Command, "?"), k.Times, k.Refused, k.LastSeen.Format(time.DateTime))
		}
	}
	for _, c := range r.Approvals {
		answer := "approved"
		if !c.Approved {
			answer = "not approved"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s by %s\t%s\n", c.Action, answer, c.By, c.Comment)
	}
	if r.State == migration.RunAwaitingApproval {
		with := ""
		if a, ok := r.Waiting(); ok {
			with = " of: " + a.Title
		}
		_, _ = fmt.Fprintf(w, "\nIt waits for approval%s: switchyard run approve %s%s\n", with, r.ID, approveFlags(r))
	}
}

// approveFlags are what `run approve` needs besides the run.
func approveFlags(r migration.Run) string {
	flags := ""
	if a, ok := r.Waiting(); ok {
		flags = " --action " + a.ID
	}
	if r.Needs() == migration.ApprovalTwo {
		flags += " --confirm-name NAME"
	}
	return flags
}

type runCmd struct {
	Show     runShowCmd     `cmd:"" help:"Show a run and its log."`
	Approve  runApproveCmd  `cmd:"" help:"Approve a waiting run."`
	Reject   runRejectCmd   `cmd:"" help:"Reject a waiting run."`
	Pause    runPauseCmd    `cmd:"" help:"Hold up a run that copies queues, while they go on working."`
	Resume   runResumeCmd   `cmd:"" help:"Let a paused run go on."`
	Cancel   runCancelCmd   `cmd:"" help:"Stop an open run; what it did is taken back."`
	Rollback runRollbackCmd `cmd:"" help:"Take a run that succeeded back."`
}

type runArgs struct {
	remote
	Run string `arg:"" name:"run" help:"Id of the run."`
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
	return c.print(s.stdout, run, func(w io.Writer) { printRun(w, run) })
}

type runShowCmd struct{ runArgs }

// Run prints a run with its log.
func (c runShowCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		run, err := client.Run(s.ctx, c.runArgs.Run)
		if err != nil || c.JSON {
			return run, err
		}
		page, err := client.Log(s.ctx, c.runArgs.Run, 0)
		for _, l := range page.Lines {
			_, _ = fmt.Fprintf(s.stdout, "%s %-5s %s %s\n", l.At.Format("15:04:05.000"), l.Level, l.Action, l.Message)
		}
		return run, err
	})
}

type runApproveCmd struct {
	runArgs
	Comment     string `help:"Kept in the audit log."`
	ConfirmName string `help:"The migration's name, for irreversible steps." placeholder:"NAME"`
	Action      string `help:"The action that the run waits with, where it has begun." placeholder:"ID"`
}

// Run approves a run.
func (c runApproveCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Approve(s.ctx, c.runArgs.Run, api.Decision{Comment: c.Comment, ConfirmName: c.ConfirmName, Action: c.Action})
	})
}

type runRejectCmd struct {
	runArgs
	Comment string `help:"Why; kept in the audit log." required:""`
	Action  string `help:"The action that the run waits with, where it has begun." placeholder:"ID"`
}

// Run rejects a run.
func (c runRejectCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) {
		return client.Reject(s.ctx, c.runArgs.Run, api.Decision{Comment: c.Comment, Action: c.Action})
	})
}

type runPauseCmd struct{ runArgs }

// Run pauses a run.
func (c runPauseCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) { return client.Pause(s.ctx, c.runArgs.Run) })
}

type runResumeCmd struct{ runArgs }

// Run lets a run go on.
func (c runResumeCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) { return client.Resume(s.ctx, c.runArgs.Run) })
}

type runCancelCmd struct{ runArgs }

// Run cancels a run.
func (c runCancelCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) { return client.Cancel(s.ctx, c.runArgs.Run) })
}

type runRollbackCmd struct{ runArgs }

// Run takes a run back.
func (c runRollbackCmd) Run(s *shell) error {
	return c.act(s, func(client *api.Client) (migration.Run, error) { return client.Rollback(s.ctx, c.runArgs.Run) })
}
