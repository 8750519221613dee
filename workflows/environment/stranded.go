package environment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// Stranded is who still uses the single server after the source side has left it.
type Stranded struct {
	Address string
	// Clients are those whom nobody attests; Key is a client's, as in Coverage.
	Clients []migration.Member
	// Refused is how many commands the server has refused since it started, for being read-only.
	Refused int64
}

// PauseQueues is the action of the move to Sentinel whose output is a MovedQueues.
const PauseQueues = "pause-queues"

// MovedQueues is whom the move to Sentinel has found at work.
type MovedQueues struct {
	Worked []bullmq.Queue `json:"worked"` // by a worker on the single server
}

// AtWork looks for them.
func (s *Servers) AtWork(ctx context.Context) (MovedQueues, error) {
	worked, err := bullmq.Worked(ctx, s.Standalone)
	return MovedQueues{Worked: worked}, err
}

// Stranded looks for clients of the single server while it is the fallback of the Sentinel
// deployment: what they write is refused there, and what they read grows old. ok is false when
// the source side is still there, or has left the Sentinel deployment too, also with an error.
func (c *Clients) Stranded(ctx context.Context, mid string) (out Stranded, ok bool, err error) {
	r, err := c.servers.routing.Read(ctx, mid)
	if err != nil || r.Source != migration.SourceSentinel {
		return out, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*aloneFor)
	defer cancel()
	old := c.servers.Old(c.servers.StandaloneEndpoint.Address())
	defer CloseNodes([]Node{old})
	out.Address = old.Address
	l := c.ask(ctx, []Node{old}, c.fleet.Lines(mid))[0]
	if l.err != nil {
		return out, true, l.err
	}
	for _, m := range l.members() {
		if m.Verdict == migration.Unknown {
			if strings.HasPrefix(m.Name, nameless) {
				m.Why += c.servers.unnamed(ctx)
			}
			out.Clients = append(out.Clients, m)
		}
	}
	if len(out.Clients) == 0 {
		return out, true, nil
	}
	out.Refused, err = redisconn.RefusedWrites(ctx, old.Client)
	return out, true, err
}

// unnamed says that a connection without a name may be a sentinel's, where the single server
// gives those none; "" where it names them. Whose it is cannot be told: a client that may not
// run a command looks on the server's list as one that may.
func (s *Servers) unnamed(ctx context.Context) string {
	if s.Cluster == nil {
		return ""
	}
	as := s.SentinelEndpoint.Credentials()
	if redisconn.TakesName(ctx, s.StandaloneEndpoint, s.StandaloneEndpoint.Address(), as) == nil {
		return ""
	}
	return "; it may be a sentinel's, because the server does not accept the sentinels' password, " +
		"so they have no name there (to have them named, run there: ACL SETUSER " +
		cmp.Or(as.User, "default") + " >PASSWORD, with the password of the Sentinel deployment)"
}

// recentMoves is among how many runs the move is looked for.
const recentMoves = 20

// Moved gives the run of the move to Sentinel that holds while the source side is there, the last
// that has paused the queues and did not fail; an empty run is none. The swap is not the last that
// a run does, so one that is open counts. One that waits for an approval, was rejected or is a
// rollback says nothing of what was moved.
func (c *Clients) Moved(ctx context.Context, mid string) (migration.Run, error) {
	runs, err := c.store.Runs(ctx, mid, migration.StepSentinelMove, recentMoves)
	if err != nil {
		return migration.Run{}, err
	}
	for _, r := range runs {
		if r.Rollback != "" || !r.State.Open() && r.State != migration.RunSucceeded {
			continue
		}
		run, err := c.store.Run(ctx, r.ID)
		if err != nil || slices.ContainsFunc(run.Actions, hasPaused) {
			return run, err
		}
	}
	return migration.Run{}, nil
}

func hasPaused(a migration.RunAction) bool { return a.ID == PauseQueues && a.Output != nil }

// StillQueue is a queue whose jobs wait on the source with nobody connected to run them.
type StillQueue struct {
	Queue string
	Jobs  int64 // waiting, delayed or prioritized
}

// Still gives the queues that had a worker on the single server when the move to Sentinel began, and
// that nobody runs on the source. One that is paused stands still on purpose. O(queues).
func (c *Clients) Still(
	ctx context.Context, mid string, move migration.Run,
) ([]StillQueue, error) {
	var queues []bullmq.Queue
	for _, a := range move.Actions {
		if !hasPaused(a) {
			continue
		}
		var found MovedQueues
		if err := json.Unmarshal(a.Output, &found); err != nil {
			return nil, fmt.Errorf("what run %s has paused: %w", move.ID, err)
		}
		queues = append(queues, found.Worked...)
	}
	if len(queues) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*aloneFor)
	defer cancel()
	source, _, err := c.servers.Source(ctx, mid)
	if err != nil {
		return nil, err
	}
	return still(ctx, source, queues)
}

func still(
	ctx context.Context, source redis.UniversalClient, queues []bullmq.Queue,
) ([]StillQueue, error) {
	done, err := bullmq.Worked(ctx, source)
	if err != nil {
		return nil, err
	}
	var out []StillQueue
	for _, q := range queues {
		if slices.ContainsFunc(done, q.Same) {
			continue
		}
		done = append(done, q)
		n, err := bullmq.Census(ctx, source, q)
		if err != nil {
			return nil, err
		}
		if jobs := n.Waiting + n.Delayed + n.Prioritized; jobs > 0 && !n.Paused {
			out = append(out, StillQueue{q.String(), jobs})
		}
	}
	return out, nil
}
