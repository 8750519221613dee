package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

// settleTime bounds how long sentinels may take to find the replicas (INFO every 10
// s) and each other (a hello every 2 s).
const settleTime = 40 * time.Second

// Monitor is what is needed to make the sentinels monitor the master again. It
// contains no secret and can be stored as JSON.
type Monitor struct {
	Name              string   `json:"name"`
	Master            string   `json:"master"`
	Nodes             []string `json:"nodes"` // the master first
	Quorum            int      `json:"quorum"`
	DownAfterMS       int64    `json:"down_after_ms"`
	FailoverTimeoutMS int64    `json:"failover_timeout_ms"`
	ParallelSyncs     int      `json:"parallel_syncs"`
}

// Monitor reads the settings without changing anything. Store them before Suspend:
// once no sentinel monitors the master, nobody knows them.
func (c *Cluster) Monitor(ctx context.Context) (Monitor, error) {
	t, err := c.Topology(ctx)
	if err != nil {
		return Monitor{}, err
	}
	return Monitor{Name: t.Name, Master: t.Master, Nodes: t.nodes(), Quorum: t.Quorum,
		DownAfterMS: t.DownAfterMS, FailoverTimeoutMS: t.FailoverTimeoutMS,
		ParallelSyncs: t.ParallelSyncs}, nil
}

// Suspend reads the settings and makes every sentinel stop monitoring the master
// (SENTINEL REMOVE), so that it may become a replica without being failed over.
// Clients that ask the sentinels then find no master. It can run again after an
// interruption as long as one sentinel still monitors the master; if none does the
// error wraps ErrSuspended, and Resume needs the stored Monitor. Every sentinel
// must be reachable: one left monitoring would start a failover.
func (c *Cluster) Suspend(ctx context.Context) (Monitor, error) {
	m, err := c.settings(ctx)
	if err != nil {
		return Monitor{}, fmt.Errorf("suspend: %w", err)
	}
	_, errs := each(c, func(s member) (struct{}, error) {
		err := s.client.Remove(ctx, c.endpoint.MasterName).Err()
		if isNoSuchMaster(err) {
			err = nil
		}
		return struct{}{}, err
	})
	if err := c.joined(errs); err != nil {
		return m, fmt.Errorf("suspend: %w", err)
	}
	return m, nil
}

// settings is Monitor, but content with a single sentinel that still monitors the
// master: the others may be suspended already.
func (c *Cluster) settings(ctx context.Context) (Monitor, error) {
	views, _ := each(c, func(s member) (view, error) { return c.view(ctx, s), nil })
	var best *view
	for i, v := range views {
		if !v.member.Reachable {
			return Monitor{}, migration.Errorf(migration.Unavailable,
				"sentinel %s is unreachable: %s", v.member.Addr, v.member.Error)
		}
		if v.member.Master == "" {
			continue
		}
		if best != nil && best.member.Master != v.member.Master {
			return Monitor{}, migration.Errorf(migration.Conflict, "sentinel %s names %s as "+
				"the master and %s names %s: wait for the failover to end",
				best.member.Addr, best.member.Master, v.member.Addr, v.member.Master)
		}
		best = &views[i]
	}
	if best == nil {
		return Monitor{}, ErrSuspended
	}
	t := c.topology(best.member.Master, views)
	return Monitor{Name: c.endpoint.MasterName, Master: t.Master, Nodes: t.nodes(),
		Quorum:            number(best.master["quorum"]),
		DownAfterMS:       int64(number(best.master["down-after-milliseconds"])),
		FailoverTimeoutMS: int64(number(best.master["failover-timeout"])),
		ParallelSyncs:     number(best.master["parallel-syncs"])}, nil
}

// Resume makes every sentinel monitor m.Master again with the previous settings and
// the endpoint's password, and waits until all agree, see every node of m and each
// other. It can run again at any time: a sentinel that monitors the right master
// only has its settings updated.
func (c *Cluster) Resume(ctx context.Context, m Monitor) error {
	host, port, err := net.SplitHostPort(m.Master)
	if err != nil || m.Name != c.endpoint.MasterName || m.Quorum < 1 || m.DownAfterMS < 1 {
		return migration.Errorf(migration.Invalid, "resume: the stored settings are invalid: "+
			"name %q, master %q, quorum %d, down-after %d ms", m.Name, m.Master, m.Quorum,
			m.DownAfterMS)
	}
	info, err := replicationOf(ctx, c.Node(m.Master))
	if err != nil {
		return fmt.Errorf("resume: %s: %w", m.Master, err)
	}
	if info.role != "master" {
		return migration.Errorf(migration.Conflict, "resume: %s is a replica of %s: "+
			"sentinels would fail it over; make it the master first", m.Master, info.master)
	}
	_, errs := each(c, func(s member) (struct{}, error) {
		return struct{}{}, c.watch(ctx, s, m, host, port)
	})
	if err := c.joined(errs); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime,
		errors.New("not within "+migration.Words(settleTime)))
	defer cancel()
	if err := await(ctx, "resume", func() error {
		return c.healthy(ctx, m.Nodes)
	}); err != nil {
		return err
	}
	return nil
}

func (c *Cluster) watch(ctx context.Context, s member, m Monitor, host, port string) error {
	now, err := c.masterBy(ctx, s)
	if err == nil && now != m.Master {
		if err := s.client.Remove(ctx, m.Name).Err(); err != nil && !isNoSuchMaster(err) {
			return err
		}
	}
	if now != m.Master {
		if err := s.client.Monitor(ctx, m.Name, host, port,
			strconv.Itoa(m.Quorum)).Err(); err != nil {
			return err
		}
	}
	set := [][2]string{
		{"down-after-milliseconds", strconv.FormatInt(m.DownAfterMS, 10)},
		{"failover-timeout", strconv.FormatInt(m.FailoverTimeoutMS, 10)},
		{"parallel-syncs", strconv.Itoa(max(m.ParallelSyncs, 1))},
		{"quorum", strconv.Itoa(m.Quorum)},
	}
	if c.endpoint.Username != "" {
		set = append(set, [2]string{"auth-user", c.endpoint.Username})
	}
	if !c.endpoint.Password.IsZero() {
		set = append(set, [2]string{"auth-pass", c.endpoint.Password.Reveal()})
	}
	for _, o := range set {
		if err := s.client.Set(ctx, m.Name, o[0], o[1]).Err(); err != nil {
			return fmt.Errorf("set %s: %w", o[0], err)
		}
	}
	return nil
}

// joined combines the errors of all sentinels that failed.
func (c *Cluster) joined(errs []error) error {
	var said []string
	for i, err := range errs {
		if err != nil {
			said = append(said, c.sentinels[i].addr+": "+migration.PlainError(err))
		}
	}
	if len(said) == 0 {
		return nil
	}
	return migration.Errorf(migration.Unavailable, "sentinel %s",
		strings.Join(said, "; sentinel "))
}

func isNoSuchMaster(err error) bool {
	return err != nil && strings.Contains(err.Error(), "No such master")
}

// Watcher is what one configured sentinel watches.
type Watcher struct {
	Addr        string
	Master      string // the address it names; "" when it monitors no such master
	DownAfterMS int64
	Err         error // why it could not be asked; then the others say nothing
}

// Watchers asks every configured sentinel what it watches.
func (c *Cluster) Watchers(ctx context.Context) []Watcher {
	out, _ := each(c, func(s member) (Watcher, error) {
		w := Watcher{Addr: s.addr}
		m, err := s.client.Master(ctx, c.endpoint.MasterName).Result()
		switch {
		case isNoSuchMaster(err):
		case err != nil:
			w.Err = redisconn.Explain(err)
		default:
			w.Master = net.JoinHostPort(m["ip"], m["port"])
			w.DownAfterMS = int64(number(m["down-after-milliseconds"]))
		}
		return w, nil
	})
	return out
}

// Ping asks every configured sentinel whether it is there; the error names those that are not.
func (c *Cluster) Ping(ctx context.Context) error {
	_, errs := each(c, func(s member) (struct{}, error) {
		return struct{}{}, redisconn.Explain(s.client.Ping(ctx).Err())
	})
	return c.joined(errs)
}

// Sentinels are the addresses of the configured sentinels.
func (c *Cluster) Sentinels() []string { return slices.Clone(c.endpoint.SentinelAddrs) }
