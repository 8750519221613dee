package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// FoundJobs is a job id looked up on both sides.
type FoundJobs struct {
	ID    string     `json:"id"`
	Sides []SideJobs `json:"sides"`
}

// SideJobs is what one side has of an id, in any of its queues. Error says why it could not
// be looked up; then Jobs says nothing.
type SideJobs struct {
	Side     string       `json:"side" enum:"source,target"`
	Endpoint string       `json:"endpoint"`
	Error    string       `json:"error,omitempty"`
	Queues   int          `json:"queues"` // how many were looked through
	Jobs     []bullmq.Job `json:"jobs"`
}

// FindJobs looks for a job id in every queue of both sides. What the job carries, its data,
// result and log, is left out for a viewer: payloads of orders are personal data, and to
// watch the migration nobody needs them.
func (c *Control) FindJobs(
	ctx context.Context,
	a migration.Actor,
	mid, id string,
) (FoundJobs, error) {
	if id == "" || len(id) > 512 {
		return FoundJobs{}, migration.Errorf(
			migration.Invalid,
			"a job id has 1 to 512 bytes: got %d",
			len(id),
		)
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return FoundJobs{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	out := FoundJobs{ID: id}
	// Which queues there are is known from the last survey: looking for them anew would
	// read every key of both servers.
	both := c.env.Surveys.Both(ctx, c.env.Servers, mid)
	source, _, err := c.env.Servers.Source(ctx, mid)
	out.Sides = append(
		out.Sides,
		findJobs(ctx, both[0], source, err, id, a.Role == migration.RoleEngineer),
	)
	target, _, err := c.env.Servers.Target(ctx)
	out.Sides = append(
		out.Sides,
		findJobs(ctx, both[1], target, err, id, a.Role == migration.RoleEngineer),
	)
	return out, nil
}

func findJobs(
	ctx context.Context,
	side SideSurvey,
	client redis.UniversalClient,
	err error,
	id string,
	whole bool,
) SideJobs {
	out := SideJobs{
		Side:     side.Side,
		Endpoint: side.Endpoint,
		Jobs:     []bullmq.Job{},
		Queues:   len(side.Survey.Queues),
	}
	if err != nil {
		out.Error = environment.InWords(err)
		return out
	}
	// an old survey still names the queues; of none, nothing can be said
	if side.Survey.At.IsZero() {
		out.Error = side.Error
		return out
	}
	for _, q := range side.Survey.Queues {
		j, findErr := bullmq.FindJob(ctx, client, q.Queue, id)
		if findErr != nil {
			if migration.KindOf(findErr) != migration.NotFound {
				out.Error = environment.InWords(findErr)
			}
			continue
		}
		if !whole {
			j.Data, j.ReturnValue, j.FailedReason, j.Progress, j.Logs, j.Stacktrace = nil, "", "", "", nil, nil
		}
		out.Jobs = append(out.Jobs, j)
	}
	return out
}

// JobChange is one thing to do to one job by hand.
type JobChange struct {
	Side   string           `json:"side" enum:"source,target"`
	Queue  string           `json:"queue"` // its name, as in paths
	ID     string           `json:"id"`
	Action bullmq.JobAction `json:"action"`
	Reason string           `json:"reason"` // kept in the audit log
}

// ChangeJob retries, promotes or removes a job. Engineers only; a reason is needed; done or
// refused, it is in the audit log.
func (c *Control) ChangeJob(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in JobChange,
) error {
	err := c.changeJob(ctx, a, mid, in)
	c.audit(
		ctx,
		a,
		string("job-"+in.Action),
		fmt.Sprintf("%s on the %s: %s", in.Queue, in.Side, in.ID),
		in.Reason,
		err,
	)
	return err
}

func (c *Control) changeJob(
	ctx context.Context,
	a migration.Actor,
	mid string,
	in JobChange,
) error {
	if err := engineer(a); err != nil {
		return err
	}
	if in.Reason == "" {
		return migration.Errorf(migration.Invalid, "say why: the reason is kept in the audit log")
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return err
	}
	var client redis.UniversalClient
	var err error
	switch in.Side {
	case "source":
		client, _, err = c.env.Servers.Source(ctx, mid)
	case "target":
		client, _, err = c.env.Servers.Target(ctx)
	default:
		err = migration.Errorf(
			migration.Invalid,
			"unknown side %q: source and target are known",
			in.Side,
		)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	if err := bullmq.ActOnJob(ctx, client, bullmq.ParseQueue(in.Queue), in.ID, in.Action); err != nil {
		return err
	}
	c.notify("queues")
	return nil
}

// QueueDetail is one queue on both sides, in depth.
type QueueDetail struct {
	Queue string      `json:"queue"`
	At    time.Time   `json:"at"`
	Sides []QueueView `json:"sides"`
}

// QueueView is one side's queue. Error says why it is not known; Queue is nil when the side
// has no such queue.
type QueueView struct {
	Side     string `json:"side" enum:"source,target"`
	Endpoint string `json:"endpoint"`
	Error    string `json:"error,omitempty"`
	// when counts, delays, schedulers, limits and workers were read
	At *time.Time `json:"at,omitempty"`
	// when every key was looked at, for all the rest
	WalkedAt *time.Time          `json:"walked_at,omitempty"`
	Queue    *bullmq.QueueSurvey `json:"queue,omitempty"`
}

// Queue gives one queue on both sides from the last survey; NotFound when both were read
// and neither has it.
func (c *Control) Queue(ctx context.Context, mid, name string) (QueueDetail, error) {
	both, err := c.Surveys(ctx, mid)
	if err != nil {
		return QueueDetail{}, err
	}
	out := QueueDetail{Queue: name, At: c.now()}
	known, found := true, false
	for _, s := range both {
		v := QueueView{Side: s.Side, Endpoint: s.Endpoint, Error: s.Error}
		known = known && s.Usable()
		if !s.Survey.At.IsZero() {
			v.At, v.WalkedAt = &s.Survey.ReadAt, &s.Survey.At
		}
		for _, q := range s.Survey.Queues {
			if q.Queue.String() == name {
				v.Queue, found = &q, true
			}
		}
		out.Sides = append(out.Sides, v)
	}
	if known && !found {
		return out, migration.Errorf(migration.NotFound, "no server has a queue %q", name)
	}
	return out, nil
}
