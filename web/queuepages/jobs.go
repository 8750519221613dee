package queuepages

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Jobs is the page that looks a job id up; ID is empty before somebody asks.
type Jobs struct {
	MigrationID string
	ID          string
	Found       workflows.FoundJobs
	Who         ui.Who
	Notice      *ui.Notice
	Done        string // what was just done to a job
	Search      workflows.JobSearch
	Matches     *workflows.JobMatches // of Search; nil before somebody asks
}

func (v Jobs) foundNone() bool {
	return !slices.ContainsFunc(v.Found.Sides, func(s workflows.SideJobs) bool {
		return len(s.Jobs) > 0
	})
}

// ledgerURL is the order ledger's page of the id, should it be an order's.
func (v Jobs) ledgerURL() string {
	return ui.URL(v.MigrationID, "ledger") + "?" + url.Values{"id": {v.ID}}.Encode()
}

// searched says how much of a side a search has looked through.
func searched(s workflows.SideMatches) string {
	r := s.Result
	out := fmt.Sprintf("%s in %s searched", ui.Count(r.Searched, "job"), ui.Count(s.Queues, "queue"))
	if r.TooLarge > 0 {
		out += fmt.Sprintf(
			"; %s with more than %s of data skipped",
			ui.Number(r.TooLarge),
			migration.Bytes(bullmq.SearchBytes),
		)
	}
	if r.Unreadable > 0 {
		out += fmt.Sprintf("; the data of %s is not JSON", ui.Number(r.Unreadable))
	}
	return out
}

// jobAction is what can be done to a job, and what people should know before.
type jobAction struct {
	id          bullmq.JobAction
	title, says string
}

// jobActions gives what makes sense in the job's state. What stands against it is found
// when it is tried.
func jobActions(j bullmq.Job) []jobAction {
	var out []jobAction
	if j.Moved && j.State == "" {
		return nil
	}
	switch j.State {
	case "failed":
		out = append(
			out,
			jobAction{
				bullmq.RetryJob,
				"Retry",
				"A worker runs it again immediately. Previous attempts still count.",
			},
		)
	case "completed":
		out = append(
			out,
			jobAction{
				bullmq.RetryJob,
				"Run again",
				"A worker runs this completed job again. Its effects happen twice unless the " +
					"app deduplicates by job ID.",
			},
		)
	case "delayed":
		out = append(
			out,
			jobAction{
				bullmq.PromoteJob,
				"Promote",
				"A worker runs it now instead of at its due time.",
			},
		)
	}
	if j.State != "active" && !j.Locked {
		out = append(
			out,
			jobAction{
				bullmq.RemoveJob,
				"Remove",
				"The job is deleted with its log. What it should have done is not done, and " +
					"nothing brings it back.",
			},
		)
	}
	return out
}

func jobStatus(j bullmq.Job) ui.Status {
	switch j.State {
	case "completed":
		return ui.OK("Completed")
	case "failed":
		return ui.Bad("Failed")
	case "active":
		return ui.Running("Active")
	case "":
		if j.Moved {
			return ui.Past("Moved: this is a copy").As("route")
		}
		return ui.Bad("Orphaned")
	}
	return ui.Waiting(ui.Title(j.State))
}

func jobFacts(j bullmq.Job) []migration.Fact {
	var l ui.Facts
	l.Add("Name", true, "%s", j.Name)
	for _, t := range []struct {
		label string
		at    *time.Time
	}{{"Added", j.Timestamp}, {"Due", j.DueAt}, {"Started", j.ProcessedOn}, {"Finished", j.FinishedOn}} {
		if t.at != nil {
			l.Add(t.label, true, "%s", ui.Stamp(*t.at))
		}
	}
	l.Add("Attempts", true, "%d made", j.AttemptsMade)
	l.Add("Stalled", j.Stalled > 0, "%s", ui.Count(j.Stalled, "time"))
	l.Add("Priority", j.Priority > 0, "%d", j.Priority)
	l.Add("Deduplication ID", j.DedupID != "", "%s", j.DedupID)
	l.Add("Scheduler", j.SchedulerID != "", "%s", j.SchedulerID)
	l.Add("Parent", j.ParentKey != "", "%s", j.ParentKey)
	l.Add("Pending children", j.PendingChildren > 0, "%d", j.PendingChildren)
	l.Add("Worker", j.ProcessedBy != "", "%s", j.ProcessedBy)
	l.Add("Locked", j.Locked, "by a worker")
	l.Add("Data", true, "%s", migration.Bytes(int64(j.Bytes)))
	return l
}

// jobTexts is what a job carries, for those who may see it.
func jobTexts(j bullmq.Job) []migration.Fact {
	var l ui.Facts
	l.Add("Data", len(j.Data) > 0, "%s", ui.Pretty(j.Data))
	l.Add("Options", len(j.Opts) > 0, "%s", ui.Pretty(j.Opts))
	l.Add("Result", j.ReturnValue != "", "%s", j.ReturnValue)
	l.Add("Progress", j.Progress != "" && j.Progress != "0", "%s", j.Progress)
	l.Add(
		"Failure",
		j.FailedReason != "",
		"%s\n\n%s",
		j.FailedReason,
		strings.Join(j.Stacktrace, "\n\n"),
	)
	l.Add(
		fmt.Sprintf("Log (%d of %d lines)", len(j.Logs), j.LogCount),
		len(j.Logs) > 0,
		"%s",
		strings.Join(j.Logs, "\n"),
	)
	return l
}
