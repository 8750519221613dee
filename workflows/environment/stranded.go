package environment

import (
	"context"
	"fmt"

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
	// Idle are queues that one of the clients has a worker of here, while their jobs wait on the
	// present source without one.
	Idle []string
}

// Stranded looks for clients of the single server while it is the fallback of the Sentinel
// deployment: what they write is refused there, and what they read grows old. ok is false when
// the source side is still there, or has left the Sentinel deployment too.
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
		return out, false, l.err
	}
	for _, m := range l.members() {
		if m.Verdict == migration.Unknown {
			out.Clients = append(out.Clients, m)
		}
	}
	if len(out.Clients) == 0 {
		return out, true, nil
	}
	if out.Refused, err = redisconn.RefusedWrites(ctx, old.Client); err != nil {
		return out, false, err
	}
	out.Idle, err = c.idle(ctx, mid, l)
	return out, true, err
}

// idle gives the queues that a client without an owner has a worker of on the list, as far as
// jobs of them wait on the present source and nobody works them there.
func (c *Clients) idle(ctx context.Context, mid string, l list) ([]string, error) {
	var out []string
	asked := map[string]bool{}
	for i, cl := range l.clients {
		q, is := bullmq.QueueOfWorker(cl.Name)
		if !is || l.owners[i] != nil || asked[q.Key("")] {
			continue
		}
		asked[q.Key("")] = true
		source, _, err := c.servers.Source(ctx, mid)
		if err != nil {
			return nil, err
		}
		counts, err := bullmq.Census(ctx, source, q)
		if err != nil {
			return nil, err
		}
		workers, err := bullmq.Workers(ctx, source, q)
		if err != nil {
			return nil, err
		}
		if counts.Waiting+counts.Delayed > 0 && len(workers) == 0 {
			out = append(out, fmt.Sprintf("%s: %s", q, migration.Count(
				int(counts.Waiting+counts.Delayed), "job")))
		}
	}
	return out, nil
}
