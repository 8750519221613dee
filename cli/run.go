package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
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

	// Limits of one move forward; see docs/stages.md. Without them those of the configuration hold.
	MaxRefused int           `help:"Move forward: most refused webhooks or failed adds." placeholder:"N"`
	MaxLatency time.Duration `help:"Move forward: longest add or response." placeholder:"1s"`
	MaxSilence time.Duration `help:"Move forward: longest slowness or unread events." placeholder:"10s"`
}

func (c stepArgs) params() migration.Params {
	return migration.Params{To: c.To, Ramp: c.Ramp, Limits: migration.Limits{
		MaxRefused: c.MaxRefused, MaxLatencyMS: int(c.MaxLatency.Milliseconds()),
		MaxSilenceMS: int(c.MaxSilence.Milliseconds()),
	}}
}

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
		for _, m := range g.Asked.Unknown() {
			t.row("  unknown\t%s\t%s", m.Key, m.Why)
		}
	}
	t.row("\nWhat will happen:")
	for i, a := range p.Actions {
		t.row("  %d.\t%s\t%s", i+1, a.Title, a.Changes)
	}
	for _, g := range p.Guardrails {
		t.row("  guardrail\t%s: %s\t%s", g.Title, g.Limit, g.OnFail)
	}
	for _, x := range p.Settings {
		after := "kept after a restart"
		if !x.Survives {
			after = "LOST when it restarts: it has no configuration file"
		}
		t.row("  setting\t%s on %s\t%q -> %q, %s", x.Name, x.Node, x.From, x.To, after)
	}
}

type stepStartCmd struct {
	stepArgs
	followed
}

// Run starts a step.
func (c stepStartCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	run, err := c.ask(s, func() (migration.Run, error) {
		return client.Start(s.ctx, mid, c.Step, c.params(), "")
	})
	if err != nil {
		return err
	}
	return c.remote.follow(s, client, run, c.Wait)
}

// followed are the options of what starts a run, or lets one go on.
type followed struct {
	Wait     bool          `help:"Follow the run until it ends or needs an approval."`
	RetryFor time.Duration `help:"Try again for this long while a precondition does not hold."`
}

// retryEvery is how often it is tried again.
const retryEvery = time.Second

// ask tries again what time may mend: a precondition, somebody else's run, a server that does
// not answer.
func (f followed) ask(s *shell, do func() (migration.Run, error)) (migration.Run, error) {
	for until := time.Now().Add(f.RetryFor); ; {
		run, err := do()
		switch migration.KindOf(err) {
		case migration.Blocked, migration.Conflict, migration.Unavailable:
		default:
			return run, err
		}
		if time.Now().After(until) {
			return run, err
		}
		select {
		case <-s.ctx.Done():
			return run, context.Cause(s.ctx)
		case <-time.After(retryEvery):
		}
	}
}

// follow prints a run; with wait as it is once it has ended or needs an approval, and every
// progress until then to standard error. A run that did not succeed is an error.
func (c remote) follow(s *shell, client *api.Client, run migration.Run, wait bool) error {
	if !wait {
		return c.print(s, run, func(t table) { writeRun(t, run) })
	}
	last := ""
	run, err := client.Wait(s.ctx, run.ID, func(r migration.Run) {
		if r.Progress != last && r.Progress != "" {
			_, _ = fmt.Fprintf(s.stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), r.Progress)
		}
		last = r.Progress
	})
	if err != nil {
		return err
	}
	if err := c.print(s, run, func(t table) { writeRun(t, run) }); err != nil {
		return err
	}
	if run.State.Open() || run.State == migration.RunSucceeded {
		return nil
	}
	return migration.Errorf(migration.Conflict, "run %s of %s: %s", run.ID, run.Step, run.State)
}

type runCmd struct {
	List     runListCmd     `cmd:"" help:"List runs of all steps, newest first."`
	Show     runShowCmd     `cmd:"" help:"Show a run and its log, the last where none is open."`
	Wait     runWaitCmd     `cmd:"" help:"Follow a run until it ends or needs an approval."`
	Approve  runApproveCmd  `cmd:"" help:"Approve a waiting run."`
	Reject   runRejectCmd   `cmd:"" help:"Reject a waiting run."`
	Pause    runPauseCmd    `cmd:"" help:"Pause a run that copies queues, which stay in use."`
	Resume   runResumeCmd   `cmd:"" help:"Resume a paused run."`
	Cancel   runCancelCmd   `cmd:"" help:"Stop an open run and undo what it did."`
	Rollback runRollbackCmd `cmd:"" help:"Roll back a run that succeeded."`
}

type runArgs struct {
	remote
	ID string `arg:"" optional:"" name:"run" help:"Id of the run. Default: the only open one."`
}

// find opens the server, and gives the id of the run. ended: where none is open, the last.
func (c runArgs) find(s *shell, ended bool) (*api.Client, string, error) {
	client, mid, err := c.open(s)
	if err != nil || c.ID != "" {
		return client, c.ID, err
	}
	runs, err := client.Runs(s.ctx, mid, "", recentRuns)
	if err != nil {
		return nil, "", err
	}
	var open []string
	for _, r := range runs {
		if r.State.Open() {
			open = append(open, r.ID)
		}
	}
	if ended && len(open) == 0 && len(runs) > 0 {
		return client, runs[0].ID, nil
	}
	if len(open) != 1 {
		return nil, "", migration.Errorf(migration.Invalid,
			"%d runs are open: say which, as in switchyard run show RUN", len(open))
	}
	return client, open[0], nil
}

// recentRuns is among how many runs, the newest first, the open one is looked for.
const recentRuns = 50

// act opens the server, does one thing to the run and prints it.
func (c runArgs) act(
	s *shell, ended bool, do func(client *api.Client, id string) (migration.Run, error),
) error {
	client, id, err := c.find(s, ended)
	if err != nil {
		return err
	}
	run, err := do(client, id)
	if err != nil {
		return err
	}
	return c.print(s, run, func(t table) { writeRun(t, run) })
}

type runListCmd struct {
	remote
	Step   string `help:"Only of this step."`
	State  string `help:"Only in this state, such as failed; open: every one that is not final."`
	Person string `help:"Only those that this account requested, decided on or cancelled."`
	Before string `help:"Only those older than this run." placeholder:"RUN"`
	Limit  int    `help:"At most this many." default:"50"`
}

// Run lists runs.
func (c runListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	l, err := client.FindRuns(s.ctx, mid, api.RunQuery{Step: c.Step, State: c.State,
		Person: c.Person, Before: c.Before, Limit: c.Limit})
	if err != nil {
		return err
	}
	return c.print(s, l, func(t table) {
		for _, r := range l.Runs {
			t.row("%s\t%s%s\t%s\tby %s\t%s", r.ID, r.Step, r.Params.Suffix(), stateOf(r),
				r.RequestedBy, r.CreatedAt.UTC().Format(time.RFC3339))
		}
		if len(l.Runs) == 0 {
			t.row("no runs")
		}
		if l.Next != "" {
			t.row("older: --before %s", l.Next)
		}
	})
}

type runShowCmd struct{ runArgs }

// Run prints a run with its log.
func (c runShowCmd) Run(s *shell) error {
	return c.act(s, true, func(client *api.Client, id string) (migration.Run, error) {
		run, err := client.Run(s.ctx, id)
		if err != nil || c.JSON {
			return run, err
		}
		page, err := client.Log(s.ctx, id, 0)
		for _, l := range page.Lines {
			_, _ = fmt.Fprintf(s.stdout, "%s %-5s %s %s\n",
				l.At.Format("15:04:05.000"), l.Level, l.Action, l.Message)
		}
		return run, err
	})
}

type runWaitCmd struct{ runArgs }

// Run follows a run.
func (c runWaitCmd) Run(s *shell) error {
	client, id, err := c.find(s, true)
	if err != nil {
		return err
	}
	return c.follow(s, client, migration.Run{ID: id}, true)
}

type runApproveCmd struct {
	runArgs
	Comment     string `help:"Comment for the audit log."`
	ConfirmName string `help:"The migration's name, for irreversible steps." placeholder:"NAME"`
	Action      string `help:"The action that a started run waits with." placeholder:"ID"`
	followed
}

// Run approves a run.
func (c runApproveCmd) Run(s *shell) error {
	client, id, err := c.find(s, false)
	if err != nil {
		return err
	}
	run, err := c.ask(s, func() (migration.Run, error) {
		return client.Approve(s.ctx, id, api.Decision{Comment: c.Comment,
			ConfirmName: c.ConfirmName, Action: c.Action})
	})
	if err != nil {
		return err
	}
	return c.follow(s, client, run, c.Wait)
}

type runRejectCmd struct {
	runArgs
	Comment string `help:"Why, for the audit log." required:""`
	Action  string `help:"The action that a started run waits with." placeholder:"ID"`
}

// Run rejects a run.
func (c runRejectCmd) Run(s *shell) error {
	return c.act(s, false, func(client *api.Client, id string) (migration.Run, error) {
		return client.Reject(s.ctx, id, api.Decision{Comment: c.Comment, Action: c.Action})
	})
}

type runPauseCmd struct{ runArgs }

// Run pauses a run.
func (c runPauseCmd) Run(s *shell) error {
	return c.act(s, false, func(client *api.Client, id string) (migration.Run, error) {
		return client.Pause(s.ctx, id)
	})
}

type runResumeCmd struct{ runArgs }

// Run resumes a run.
func (c runResumeCmd) Run(s *shell) error {
	return c.act(s, false, func(client *api.Client, id string) (migration.Run, error) {
		return client.Resume(s.ctx, id)
	})
}

type runCancelCmd struct{ runArgs }

// Run cancels a run.
func (c runCancelCmd) Run(s *shell) error {
	return c.act(s, false, func(client *api.Client, id string) (migration.Run, error) {
		return client.Cancel(s.ctx, id)
	})
}

type runRollbackCmd struct{ runArgs }

// Run rolls a run back.
func (c runRollbackCmd) Run(s *shell) error {
	return c.act(s, false, func(client *api.Client, id string) (migration.Run, error) {
		return client.Rollback(s.ctx, id)
	})
}

// stateOf is a run's state, with what keeps it from being done although it succeeded.
func stateOf(r migration.Run) string {
	if r.Lacks == "" {
		return string(r.State)
	}
	return string(r.State) + " (" + r.Lacks + ")"
}

func writeRun(t table, r migration.Run) {
	t.row("run %s of %s: %s", r.ID, r.Step, stateOf(r))
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
	for _, g := range r.Guardrails {
		value := g.Value
		if value == "" {
			value = "not observed"
		}
		t.row("  %s\t%s: %s (%s)\t%s", g.State, g.Title, value, g.Limit, g.Why)
	}
	for _, a := range r.Actions {
		var f evidence.WatchFacts
		if json.Unmarshal(a.Output, &f) == nil { // else of another kind, or none
			writeKnocks(t, f)
		}
	}
	if r.Result != nil {
		writeResult(t, *r.Result)
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

// writeResult prints what a run came to, as its page shows it.
func writeResult(t table, r migration.RunResult) {
	t.row("\nResult: %s", r.Said)
	if r.Short != "" {
		t.row("NOT COMPLETE: %s", r.Short)
	}
	mark := map[migration.Verdict]string{migration.Met: "ok", migration.Unmet: "NOT KEPT",
		migration.Unknown: "unknown"}
	for _, f := range r.Figures {
		promised := ""
		if f.Promised != "" {
			promised = "promised: " + f.Promised
		}
		t.row("  %s\t%s\t%s\t%s", mark[f.Verdict], f.Label, f.Measured, promised)
	}
	for _, l := range r.Lists {
		t.row("\n%s\n  \t%s", l.Title, strings.Join(l.Columns, "\t"))
		for _, row := range l.Rows {
			t.row("  %s\t%s", mark[row.Verdict], strings.Join(row.Cells, "\t"))
		}
	}
	t.row("\nNow:")
	for _, f := range r.Now {
		t.row("  %s\t%s", f.Label, f.Value)
	}
	if r.Next != nil {
		t.row("Next: %s: %s", r.Next.Title, r.Next.Command())
	}
	t.row("Undo: %s", strings.TrimSpace(r.Undo.How+" "+r.Undo.Until))
	if r.Undo.Command != "" {
		t.row("  %s", r.Undo.Command)
	}
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
