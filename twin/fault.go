package twin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// Faults that can be made.
const (
	// KillMaster kills the present Sentinel master's process; it comes back after 8 s.
	KillMaster = "kill-master"
	// FreezeSource stops the present source master's process for 3 s, short of nothing:
	// it neither answers nor refuses.
	FreezeSource = "freeze-source"
	// KillServe kills Switchyard itself; it is started again at once.
	KillServe = "kill-serve"
	// KillIngestion kills an instance of the ingestion app; it is started again at once.
	KillIngestion = "kill-ingestion"
)

// Faults lists what Fault can make.
func Faults() []string { return []string{KillMaster, FreezeSource, KillServe, KillIngestion} }

// freezeFor is shorter than Sentinel's patience with the default DownAfter plus election,
// so both outcomes, a thaw in time and a failover, are seen.
const freezeFor = 3 * time.Second

// Fault makes one fault and returns once it has begun (freeze-source: once it is over).
func (t *Twin) Fault(ctx context.Context, name string) error {
	t.log.Info("fault", "name", name)
	switch name {
	case KillMaster:
		p, err := t.masterProcess(ctx)
		if err != nil {
			return err
		}
		return p.signal(syscall.SIGKILL)
	case FreezeSource:
		p, err := t.sourceProcess(ctx)
		if err != nil {
			return err
		}
		if err := p.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(freezeFor):
		}
		return p.signal(syscall.SIGCONT)
	case KillServe:
		if t.serve == nil {
			return migration.Errorf(migration.Invalid, "this twin does not run switchyard serve")
		}
		return t.serve.signal(syscall.SIGKILL)
	case KillIngestion:
		return t.apps[0].signal(syscall.SIGKILL)
	}
	return migration.Errorf(migration.Invalid, "unknown fault %q: there are %v", name, Faults())
}

// masterProcess is the process behind the address that the sentinels call the master.
func (t *Twin) masterProcess(ctx context.Context) (*process, error) {
	c := sentinel.New(t.sentinelEndpoint())
	defer c.Close()
	addr, err := c.Master(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		if t.state.address(name) == addr {
			return t.program(name), nil
		}
	}
	return nil, fmt.Errorf("the master %s is no node of this twin", addr)
}

// sourceProcess is the single Redis while it is a master, later the Sentinel master.
func (t *Twin) sourceProcess(ctx context.Context) (*process, error) {
	c, err := redisconn.Open(t.endpoint("linode"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if facts, err := redisconn.Inspect(ctx, c); err == nil && facts.Role == "master" {
		return t.program("linode"), nil
	}
	return t.masterProcess(ctx)
}

// SetPolicy sets the eviction policy of the present source behind Switchyard's back.
func (t *Twin) SetPolicy(ctx context.Context, policy string) error {
	e := t.endpoint("linode")
	if facts, err := t.inspect(ctx, e); err != nil || facts.Role != "master" {
		e = t.sentinelEndpoint()
	}
	c, err := redisconn.Open(e)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.ConfigSet(ctx, "maxmemory-policy", policy).Err()
}

func (t *Twin) inspect(ctx context.Context, e redisconn.Endpoint) (redisconn.Facts, error) {
	c, err := redisconn.Open(e)
	if err != nil {
		return redisconn.Facts{}, err
	}
	defer func(c redis.UniversalClient) { _ = c.Close() }(c)
	return redisconn.Inspect(ctx, c)
}

// Sink reads from the apps themselves, past Switchyard, how often each order took effect.
func (t *Twin) Sink(ctx context.Context) (map[string]int, error) {
	all, err := t.Sinks(ctx)
	applied := map[string]int{}
	for _, one := range all {
		for order, n := range one {
			applied[order] += n
		}
	}
	return applied, err
}

// Sinks is the same for each instance, by its id.
func (t *Twin) Sinks(ctx context.Context) (map[string]map[string]int, error) {
	all := map[string]map[string]int{}
	read := map[string]bool{} // journals: instances may share one
	for _, i := range t.cfg.instances() {
		if err := count(ctx, t.client(i), i.id, read, all); err != nil {
			return nil, fmt.Errorf("%s: %w", i.id, err)
		}
	}
	return all, nil
}

// count adds what was applied by a journal that was not read yet, by the instance that did.
func count(
	ctx context.Context, client *ingestion.Client, id string, read map[string]bool,
	all map[string]map[string]int,
) error {
	epoch := ""
	for after := int64(0); ; {
		page, err := client.Journal(ctx, after, 5000)
		if err != nil {
			return err
		}
		if epoch != "" && page.Epoch != epoch {
			return fmt.Errorf("the app's journal was replaced while it was read (%s, then %s)",
				epoch, page.Epoch)
		}
		if epoch = page.Epoch; after == 0 && read[epoch] {
			return nil
		}
		read[epoch] = true
		for _, raw := range page.Events {
			var e struct{ Type, Outcome, Order, Instance string }
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			if e.Type != "executed" || e.Outcome != "applied" {
				continue
			}
			by := cmp.Or(e.Instance, id)
			if all[by] == nil {
				all[by] = map[string]int{}
			}
			all[by][e.Order]++
		}
		if len(page.Events) == 0 {
			return nil
		}
		after = page.Next
	}
}

// MasterAddr is the address that the sentinels call the master now.
func (t *Twin) MasterAddr(ctx context.Context) (string, error) {
	c := sentinel.New(t.sentinelEndpoint())
	defer c.Close()
	return c.Master(ctx)
}
