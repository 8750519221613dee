package cli

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
)

type jobsCmd struct {
	Find    jobsFindCmd    `cmd:"" help:"Find a job by its id, in every queue of both sides."`
	Search  jobsSearchCmd  `cmd:"" help:"Find jobs by a field of their data, on both sides."`
	Retry   jobsRetryCmd   `cmd:"" help:"Move a failed or completed job back to waiting."`
	Promote jobsPromoteCmd `cmd:"" help:"Move a delayed job to waiting."`
	Remove  jobsRemoveCmd  `cmd:"" help:"Delete a job, for good."`
}

type jobsFindCmd struct {
	remote
	ID string `arg:"" help:"Id of the job."`
}

// Run prints what both sides have of a job id. It fails when a side could not be searched.
func (c jobsFindCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	found, err := client.FindJobs(s.ctx, mid, c.ID)
	if err != nil {
		return err
	}
	if err := c.print(s, found, func(t table) { writeJobs(t, found) }); err != nil {
		return err
	}
	for _, side := range found.Sides {
		if side.Error != "" {
			return migration.Errorf(migration.Unavailable,
				"the %s could not be searched: %s", side.Side, side.Error)
		}
	}
	return nil
}

func writeJobs(t table, found api.FoundJobs) {
	for _, side := range found.Sides {
		if len(side.Jobs) == 0 && side.Error == "" {
			t.row("%s\tno such job in %s", side.Side, count(side.Queues, "queue"))
		}
		for _, j := range side.Jobs {
			state := cmp.Or(j.State, "in no list")
			if j.State == "" && j.Moved {
				state = "moved away, a copy"
			}
			t.row("%s\t%s\t%s\t%s\t%s\t%s", side.Side, j.Queue, j.Name, state,
				count(j.AttemptsMade, "attempt"), j.Data)
		}
	}
}

type jobsSearchCmd struct {
	remote
	Field string `help:"Field of the data, such as customer.email or items.0.sku." required:""`
	Value string `help:"Its exact value; - reads it from standard input." required:""`
	Queue string `help:"Search only this queue."`
}

// Help tells why a value may come from standard input.
func (jobsSearchCmd) Help() string {
	return "--value - takes the first line of standard input, for values that should not stay in " +
		"the shell's history."
}

// Run searches both sides to their end and prints each job once. It fails when a side could not
// be searched.
func (c jobsSearchCmd) Run(s *shell) error {
	if c.Value == "-" {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c.Value = strings.TrimRight(line, "\r\n")
	}
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	in := api.JobSearch{Field: c.Field, Value: c.Value, Queue: c.Queue}
	found, skipped, err := client.SearchAllJobs(s.ctx, mid, in)
	if err != nil {
		return err
	}
	return c.print(s, found, func(t table) {
		for _, j := range found {
			t.row("%s\t%s\t%s\t%s", j.Side, j.Queue, j.ID, j.Name)
		}
		if len(found) == 0 {
			t.row("no job on either side has this value")
		}
		for _, n := range skipped {
			t.row("%s: %s not searched: the data is too large or not JSON",
				n.Side, count(n.Count, "job"))
		}
	})
}

// oneJob names a job, and why it is changed.
type oneJob struct {
	remote
	Side   string `help:"Where the job is." enum:"source,target" required:""`
	Queue  string `help:"Queue, as PREFIX:NAME unless the prefix is bull." required:""`
	Reason string `help:"Why, for the audit log." required:""`
	ID     string `arg:"" help:"Id of the job."`
}

func (c oneJob) change(s *shell, action bullmq.JobAction) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.ChangeJob(s.ctx, mid, api.JobChange{
		Side: c.Side, Queue: c.Queue, ID: c.ID, Action: action, Reason: c.Reason,
	})
}

type (
	jobsRetryCmd   struct{ oneJob }
	jobsPromoteCmd struct{ oneJob }
	jobsRemoveCmd  struct{ oneJob }
)

// Run retries a job.
func (c jobsRetryCmd) Run(s *shell) error { return c.change(s, bullmq.RetryJob) }

// Run promotes a job.
func (c jobsPromoteCmd) Run(s *shell) error { return c.change(s, bullmq.PromoteJob) }

// Run removes a job.
func (c jobsRemoveCmd) Run(s *shell) error { return c.change(s, bullmq.RemoveJob) }
