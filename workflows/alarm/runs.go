package alarm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

// tellRuns has told how runs stand: it goes by what the store says of them, so nothing is
// missed that happened while nobody led. What was told before is left out by the outbox.
func (n *Notifier) tellRuns(ctx context.Context) error {
	if len(n.outlets) == 0 {
		return nil
	}
	now := n.Now()
	var since time.Time
	if ok, err := n.Store.Setting(ctx, startedSetting, &since); err != nil {
		return err
	} else if !ok {
		since = now
		if err := n.Store.SetSetting(ctx, startedSetting, since); err != nil {
			return err
		}
	}
	if news := now.Add(-newsFor); news.After(since) {
		since = news
	}
	all, err := n.Store.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, mig := range all {
		runs, err := n.Store.Runs(ctx, mig.ID, "", 50)
		if err != nil {
			return err
		}
		var change store.AlertChange
		var ids []string
		for _, r := range slices.Backward(runs) {
			for _, e := range n.runEvents(mig, r) {
				// that is news for as long as it does
				waits := e.Kind == notify.Approval && r.State == migration.RunAwaitingApproval
				if e.At.Before(since) && !waits || n.told[e.ID] {
					continue
				}
				ids = append(ids, e.ID)
				messages, err := n.messages(e.Bounded(), now)
				if err != nil {
					return err
				}
				change.Tell = append(change.Tell, messages...)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := n.Store.SaveAlerts(ctx, mig.ID, change); err != nil {
			return err
		}
		for _, id := range ids {
			n.told[id] = true
		}
		n.wakeOutlets()
		n.Notify("notifications")
	}
	return nil
}

// runEvents are what a run has to tell: that it waits for approval, or, when it changes
// something, that it began and how it ended. The error of a run is not told: it may quote a
// server. Its page shows it.
func (n *Notifier) runEvents(mig migration.Migration, r migration.Run) []notify.Event {
	title := r.Step
	if s, ok := mig.Plan.Step(r.Step); ok {
		title = s.Title
	}
	title += r.Params.Suffix()
	var changes []string
	for _, a := range r.Plan.Actions {
		if a.Changes != "" {
			changes = append(changes, a.Title+": "+a.Changes)
		}
	}
	if r.Rollback != "" {
		title = "Rollback of " + title
	}
	event := func(kind notify.Kind, severity notify.Severity, state, says, text string, at time.Time) notify.Event {
		return notify.Event{
			ID:       notify.Key(mig.ID, "run", r.ID) + "/" + state,
			Key:      notify.Key(mig.ID, "run", r.ID),
			Kind:     kind,
			Severity: severity,
			Source:   mig.Name,
			Title:    title + " " + says,
			Text:     text,
			URL:      n.link(mig.ID, "runs", r.ID),
			At:       at,
		}
	}
	var out []notify.Event
	if r.State == migration.RunAwaitingApproval {
		text := r.RequestedBy + " requested it."
		says := "is waiting for approval"
		if a, ok := r.Waiting(); ok {
			says = "is waiting for approval of " + a.Title
		}
		if r.Needs() == migration.ApprovalTwo {
			text += " It cannot be undone, so another engineer must approve it."
		}
		if r.Plan.Impact != "" {
			text += " Impact: " + r.Plan.Impact
		}
		out = append(
			out,
			event(
				notify.Approval,
				notify.Warning,
				fmt.Sprintf("approval-%d", len(r.Approvals)),
				says,
				text,
				r.CreatedAt,
			),
		)
	}
	if r.State == migration.RunRejected && r.FinishedAt != nil {
		out = append(
			out,
			event(
				notify.Approval,
				notify.Info,
				"rejected",
				"was rejected by "+r.DecidedBy,
				"",
				*r.FinishedAt,
			),
		)
	}
	if len(changes) == 0 || r.StartedAt == nil {
		return out
	}
	by := "Requested by " + r.RequestedBy
	if r.DecidedBy != "" {
		by += ", approved by " + r.DecidedBy
	}
	out = append(
		out,
		event(
			notify.Change,
			notify.Info,
			"started",
			"started",
			by+".\n"+strings.Join(changes, "\n"),
			*r.StartedAt,
		),
	)
	if r.FinishedAt == nil {
		return out
	}
	took := "After " + migration.Words(r.FinishedAt.Sub(*r.StartedAt).Round(time.Second)) + "."
	switch r.State {
	case migration.RunSucceeded:
		out = append(
			out,
			event(notify.Change, notify.Info, "ended", "is done", took, *r.FinishedAt),
		)
	case migration.RunFailed:
		out = append(
			out,
			event(
				notify.Change,
				notify.Error,
				"ended",
				"has failed",
				took+" The run's page says why, and what was undone.",
				*r.FinishedAt,
			),
		)
	case migration.RunCancelled:
		out = append(
			out,
			event(
				notify.Change,
				notify.Warning,
				"ended",
				"was cancelled by "+r.CancelledBy,
				took+" The run's page says what was undone.",
				*r.FinishedAt,
			),
		)
	case migration.RunAwaitingApproval,
		migration.RunRejected,
		migration.RunQueued,
		migration.RunRunning,
		migration.RunUndoing:
	}
	return out
}
