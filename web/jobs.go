package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// CutoverReport is the page of what would break if the source were left now.
type CutoverReport struct {
	MigrationID string
	Report      workflows.CutoverReport
	Now         time.Time
}

// Blocking says how many lines stand against it; unknown ones do.
func (v CutoverReport) Blocking() string {
	n := 0
	for _, l := range v.Report.Lines {
		if l.Severity == workflows.SeverityBlocks || l.Severity == workflows.SeverityUnknown {
			n++
		}
	}
	if n == 1 {
		return "1 thing blocks"
	}
	return fmt.Sprintf("%d things block", n)
}

// ReportGroup is the lines of one severity.
type ReportGroup struct {
	ID, Title string
	Lines     []workflows.ReportLine
}

// Groups gives the lines by severity, the worst first, without empty groups.
func (v CutoverReport) Groups() []ReportGroup {
	var out []ReportGroup
	for _, g := range []struct {
		severity  workflows.Severity
		id, title string
	}{{workflows.SeverityBlocks, "blocks", "Blocks"}, {workflows.SeverityUnknown, "unknown", "Unknown"}, {workflows.SeverityCareful, "careful", "Works, with an effect to know"},
		{workflows.SeverityClear, "clear", "Clear"}} {
		group := ReportGroup{ID: g.id, Title: g.title}
		for _, l := range v.Report.Lines {
			if l.Severity == g.severity {
				group.Lines = append(group.Lines, l)
			}
		}
		if len(group.Lines) > 0 {
			out = append(out, group)
		}
	}
	return out
}

// QueueDetail is the page of one queue.
type QueueDetail struct {
	MigrationID string
	Detail      workflows.QueueDetail
	Now         time.Time
}

// Jobs is the page that looks a job id up; ID is empty before somebody asks.
type Jobs struct {
	MigrationID string
	ID          string
	Found       workflows.FoundJobs
	Who         Who
	Notice      *Notice
	Done        string // what was just done to a job
	Search      workflows.JobSearch
	Matches     *workflows.JobMatches // of Search; nil before somebody asks
}

// searched says how much of a side a search has looked through.
func searched(s workflows.SideMatches) string {
	r := s.Result
	out := fmt.Sprintf("%s jobs of %d queues read", number(r.Searched), s.Queues)
	if r.TooLarge > 0 {
		out += fmt.Sprintf("; %s with more than %s of data were not", number(r.TooLarge), size(bullmq.SearchBytes))
	}
	if r.Unreadable > 0 {
		out += fmt.Sprintf("; the data of %s is not JSON", number(r.Unreadable))
	}
	return out
}

// jobAction is what can be done to a job, and what people should know before.
type jobAction struct {
	id          bullmq.JobAction
	title, says string
}

// jobActions gives what makes sense in the job's state. What stands against it is found when it is tried.
func jobActions(j bullmq.Job) []jobAction {
	var out []jobAction
	if j.Moved && j.State == "" {
		return nil
	}
	switch j.State {
	case "failed":
		out = append(out, jobAction{bullmq.RetryJob, "Retry", "A worker runs it again, at once. Its attempts stay counted."})
	case "completed":
		out = append(out, jobAction{bullmq.RetryJob, "Run again", "A worker runs a job again that has taken effect. Only what the app recognises by its id is not done twice."})
	case "delayed":
		out = append(out, jobAction{bullmq.PromoteJob, "Promote", "A worker runs it now instead of when it is due."})
	}
	if j.State != "active" && !j.Locked {
		out = append(out, jobAction{bullmq.RemoveJob, "Remove", "The job is deleted with its log. What it should have done is not done, and nothing brings it back."})
	}
	return out
}

func statesOf(n bullmq.Counts) []StateCount {
	return []StateCount{{"waiting", n.Waiting}, {"prioritized", n.Prioritized}, {"delayed", n.Delayed}, {"waiting-children", n.WaitingChildren}, {"active", n.Active},
		{"failed", n.Failed}, {"completed", n.Completed}}
}

// list collects facts that have something to say.
type list []migration.Fact

func (l *list) add(label string, is bool, format string, args ...any) {
	if is {
		*l = append(*l, migration.Fact{Label: label, Value: fmt.Sprintf(format, args...)})
	}
}

func queueFacts(q bullmq.QueueSurvey, now time.Time) []migration.Fact {
	var l list
	l.add("BullMQ", true, "%s", orUnknown(q.Counts.Version, q.Layout))
	switch {
	case q.WorkersNote != "":
		l.add("Workers", true, "not known: %s", q.WorkersNote)
	case len(q.Workers) == 0:
		l.add("Workers", true, "none connected")
	default:
		var names []string
		for _, w := range q.Workers {
			names = append(names, strings.TrimSpace(w.Name+" "+w.Addr))
		}
		l.add("Workers", true, "%d: %s", len(names), strings.Join(names[:min(5, len(names))], ", "))
	}
	if q.DelayedFirst != nil && q.DelayedLast != nil {
		var over []string
		for _, h := range bullmq.Horizons {
			if n := q.DelayedOver[h.Name]; n > 0 {
				over = append(over, fmt.Sprintf("%s %s", number(n), h.Name))
			}
		}
		l.add("Delayed", true, "%s; first %s, last %s", strings.Join(over, ", "), stamp(*q.DelayedFirst), stamp(*q.DelayedLast))
	}
	l.add("Waiting for another try", q.Retrying > 0, "%s", number(q.Retrying))
	var tied []string
	for _, t := range q.TiedTo {
		tied = append(tied, t.String())
	}
	l.add("Flows", q.FlowParents+q.FlowChildren > 0, "%s parents with pending children, %s children", number(q.FlowParents), number(q.FlowChildren))
	l.add("Tied by flows to", len(tied) > 0, "%s", strings.Join(tied, ", "))
	l.add("Deduplication", q.DedupCount > 0, "%s ids hold further jobs off", number(q.DedupCount))
	l.add("Hidden payloads", q.DedupNext > 0, "%s wait for an active job's end", number(q.DedupNext))
	if q.RateLimit != nil {
		l.add("Rate limit", true, "%s jobs in %s", number(q.RateLimit.Max), migration.Words(q.RateLimit.Duration))
	}
	l.add("Worker rate limit", q.Limited, "its counter is there%s", map[bool]string{true: " and never ends: the limit is off"}[q.LimitedEver])
	l.add("Concurrency", q.Concurrency > 0, "%s for all workers", number(q.Concurrency))
	l.add("Jobs in no list", q.HashesWithoutIndex > 0, "%s: BullMQ never runs them", number(q.HashesWithoutIndex))
	l.add("Ids without a job", q.IndexedWithoutHash > 0, "%s: BullMQ would run them with empty data", number(q.IndexedWithoutHash))
	l.add("Stalled", q.StalledCount > 0, "%s active without a living worker", number(q.StalledCount))
	l.add("Memory", true, "%s (%s)", size(q.MemoryBytes), q.MemoryNote)
	l.add("Payload", q.Payload.Sampled > 0, "half up to %s, 95 %% up to %s, 99 %% up to %s, largest %s, of %s jobs looked at", size(q.Payload.P50), size(q.Payload.P95), size(q.Payload.P99),
		size(q.Payload.Max), number(q.Payload.Sampled))
	if q.Counts.OldestJobAgeMS > 0 {
		l.add("Next job has waited", true, "%s", migration.Words(time.Duration(q.Counts.OldestJobAgeMS)*time.Millisecond))
	}
	return l
}

func orUnknown(version, layout string) string {
	switch {
	case version != "":
		return version
	case layout != "":
		return layout + " by its keys"
	}
	return "version not known"
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d KB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%d GB", n/1_000_000_000)
}

func jobStatus(j bullmq.Job) status {
	switch j.State {
	case "completed":
		return status{"ok", "circle-check", "Completed"}
	case "failed":
		return status{"bad", "octagon-x", "Failed"}
	case "active":
		return status{"run", "loader", "Active"}
	case "":
		if j.Moved {
			return status{"past", "route", "Moved away: a copy"}
		}
		return status{"bad", "octagon-x", "In no list"}
	}
	return status{"wait", "clock", title(j.State)}
}

func jobFacts(j bullmq.Job) []migration.Fact {
	var l list
	l.add("Name", true, "%s", j.Name)
	for _, t := range []struct {
		label string
		at    *time.Time
	}{{"Added", j.Timestamp}, {"Due", j.DueAt}, {"Taken by a worker", j.ProcessedOn}, {"Finished", j.FinishedOn}} {
		if t.at != nil {
			l.add(t.label, true, "%s", stamp(*t.at))
		}
	}
	l.add("Attempts", true, "%d made", j.AttemptsMade)
	l.add("Stalled", j.Stalled > 0, "%d times", j.Stalled)
	l.add("Priority", j.Priority > 0, "%d", j.Priority)
	l.add("Deduplication id", j.DedupID != "", "%s", j.DedupID)
	l.add("Scheduler", j.SchedulerID != "", "%s", j.SchedulerID)
	l.add("Parent", j.ParentKey != "", "%s", j.ParentKey)
	l.add("Children pending", j.PendingChildren > 0, "%d", j.PendingChildren)
	l.add("Worker", j.ProcessedBy != "", "%s", j.ProcessedBy)
	l.add("Locked", j.Locked, "a worker holds it")
	l.add("Data", true, "%s", size(int64(j.Bytes)))
	return l
}

// jobTexts is what a job carries, for those who may see it.
func jobTexts(j bullmq.Job) []migration.Fact {
	var l list
	l.add("Data", len(j.Data) > 0, "%s", pretty(j.Data))
	l.add("Options", len(j.Opts) > 0, "%s", pretty(j.Opts))
	l.add("Result", j.ReturnValue != "", "%s", j.ReturnValue)
	l.add("Progress", j.Progress != "" && j.Progress != "0", "%s", j.Progress)
	l.add("Why it failed", j.FailedReason != "", "%s\n\n%s", j.FailedReason, strings.Join(j.Stacktrace, "\n\n"))
	l.add(fmt.Sprintf("Log, %d of %d lines", len(j.Logs), j.LogCount), len(j.Logs) > 0, "%s", strings.Join(j.Logs, "\n"))
	return l
}
