package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
)

type jobsCmd struct {
	Find    jobsFindCmd    `cmd:"" help:"Look for a job id in every queue of both sides."`
	Search  jobsSearchCmd  `cmd:"" help:"Look for jobs by a field of their data, on both sides."`
	Retry   jobsRetryCmd   `cmd:"" help:"Let a failed or completed job wait again."`
	Promote jobsPromoteCmd `cmd:"" help:"Let a delayed job wait now."`
	Remove  jobsRemoveCmd  `cmd:"" help:"Delete a job. Nothing brings it back."`
}

type jobsFindCmd struct {
	remote
	ID string `arg:"" help:"Id of the job."`
}

// Run prints what both sides have of a job id. It fails when a side could not be looked through.
func (c jobsFindCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	found, err := client.FindJobs(s.ctx, mid, c.ID)
	if err != nil {
		return err
	}
	unknown := ""
	for _, side := range found.Sides {
		if side.Error != "" {
			unknown = fmt.Sprintf("the %s is not known: %s", side.Side, side.Error)
		}
	}
	err = c.print(s.stdout, found, func(w io.Writer) {
		for _, side := range found.Sides {
			if len(side.Jobs) == 0 && side.Error == "" {
				_, _ = fmt.Fprintf(w, "%s\tno such job in %d queues\n", side.Side, side.Queues)
			}
			for _, j := range side.Jobs {
				state := j.State
				switch {
				case state == "" && j.Moved:
					state = "moved away, a copy"
				case state == "":
					state = "in no list"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d attempts\t%s\n", side.Side, j.Queue, j.Name, state, j.AttemptsMade, j.Data)
			}
		}
	})
	if err == nil && unknown != "" {
		err = migration.Errorf(migration.Unavailable, "%s", unknown)
	}
	return err
}

type jobsSearchCmd struct {
	remote
	Field string `help:"Field of the data, such as customer.email or items.0.sku." required:""`
	Value string `help:"Its value, exactly. -: the first line of standard input, for values that the shell's history should not keep." required:""`
	Queue string `help:"Look through this queue only."`
}

// Run searches both sides to their end and prints each job once. It fails when a side could not be looked through.
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
	type match struct {
		Side string `json:"side"`
		bullmq.Match
	}
	found, seen := []match{}, map[match]bool{}
	var notes []string
	for in := (api.JobSearch{Field: c.Field, Value: c.Value, Queue: c.Queue}); ; {
		m, err := client.SearchJobs(s.ctx, mid, in)
		if err != nil {
			return err
		}
		for _, side := range m.Sides {
			if side.Error != "" {
				return migration.Errorf(migration.Unavailable, "the %s is not known: %s", side.Side, side.Error)
			}
			if n := side.Result.TooLarge + side.Result.Unreadable; n > 0 {
				notes = append(notes, fmt.Sprintf("%s: the data of %d jobs is too large or not JSON, and was not looked at", side.Side, n))
			}
			for _, j := range side.Result.Matches {
				if at := (match{side.Side, j}); !seen[at] {
					seen[at], found = true, append(found, at)
				}
			}
		}
		if in.After = m.Next(); in.After == nil {
			break
		}
	}
	return c.print(s.stdout, found, func(w io.Writer) {
		for _, j := range found {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", j.Side, j.Queue, j.ID, j.Name)
		}
		if len(found) == 0 {
			_, _ = fmt.Fprintln(w, "no job on either side carries this value")
		}
		for _, n := range notes {
			_, _ = fmt.Fprintln(w, n)
		}
	})
}

// oneJob names a job, and why something is done to it.
type oneJob struct {
	remote
	Side   string `help:"Where the job is." enum:"source,target" required:""`
	Queue  string `help:"Queue, with its prefix before a colon unless that is bull." required:""`
	Reason string `help:"Kept in the audit log." required:""`
	ID     string `arg:"" help:"Id of the job."`
}

func (c oneJob) change(s *shell, action bullmq.JobAction) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	return client.ChangeJob(s.ctx, mid, api.JobChange{Side: c.Side, Queue: c.Queue, ID: c.ID, Action: action, Reason: c.Reason})
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
