package sentinel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/sentinel"
)

// deployment starts a healthy master with two replicas and three sentinels, with
// passwords. On a busy machine a down-after below 2 s makes the sentinels fail over
// servers that merely wait for the CPU.
func deployment(
	t *testing.T, opts ...redistest.Option,
) (*redistest.Sentinel, *sentinel.Cluster) {
	t.Helper()
	d := redistest.StartSentinel(t, 2, append([]redistest.Option{redistest.Password("data"),
		redistest.SentinelPassword("watch"), redistest.DownAfter(2 * time.Second)}, opts...)...)
	c := sentinel.New(d.Endpoint())
	t.Cleanup(c.Close)
	return d, c
}

func TestCriterion_sentinel_failover_planned(t *testing.T) {
	t.Parallel()
	_, c := deployment(t)
	r, err := c.PlannedFailover(t.Context(), nil, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.LostAcknowledged != 0 || r.Acknowledged < 20 || r.NewMaster == r.OldMaster ||
		r.ElectionMS <= 0 || r.FirstWriteMS < r.ElectionMS {
		t.Errorf("got %+v", r)
	}
}

func TestCriterion_sentinel_failover_automatic(t *testing.T) {
	t.Parallel()
	d, c := deployment(t)
	r, err := c.AutomaticFailover(t.Context(), nil, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.LostAcknowledged != 0 || r.Acknowledged < 20 || r.NewMaster == r.OldMaster ||
		r.DetectMS < 1000 || r.ElectionMS < r.DetectMS || r.FirstWriteMS < r.ElectionMS {
		t.Errorf("got %+v", r)
	}
	for _, n := range d.Nodes {
		if f, err := redisconn.Inspect(t.Context(), n.Client()); err != nil ||
			f.MinReplicas != 0 {
			t.Errorf("%s: min-replicas-to-write is %d after the drill, %v", n.Addr(),
				f.MinReplicas, err)
		}
	}
}

func TestAutomaticFailoverLiftsTheFenceWhenCancelled(t *testing.T) {
	t.Parallel()
	_, c := deployment(t)
	ctx, cancel := context.WithCancel(t.Context())
	old, err := c.Master(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.AutomaticFailover(ctx, nil, func(s string) {
		if len(s) > 10 && s[:10] == "the master" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	f, err := redisconn.Inspect(t.Context(), c.Node(old))
	if err != nil || f.MinReplicas != 0 {
		t.Errorf("min-replicas-to-write %d, %v", f.MinReplicas, err)
	}
	if now, err := c.Master(t.Context()); err != nil || now != old && f.Role != "slave" {
		t.Errorf("the fence was lifted from %s, a master, while the sentinels name %s (%v)",
			old, now, err)
	}
}

func TestAPlannedFailoverThatStopsHalfwayGivesTheMasterBack(t *testing.T) {
	t.Parallel()
	d, c := deployment(t)
	ctx, cancel := context.WithCancel(t.Context())
	old, err := c.Master(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PlannedFailover(ctx, nil, func(s string) {
		if s == "every replica has every write" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	// Neither paused nor fenced any more: an application's write goes through.
	if err := d.Node(old).Foreign("app").Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	if now, err := c.Master(t.Context()); err != nil || now != old {
		t.Errorf("the master is %s, %v", now, err)
	}
}

func TestObserveFailoverOfAKilledMaster(t *testing.T) {
	t.Parallel()
	d, c := deployment(t)
	var killed *redistest.Server
	r, err := c.ObserveFailover(t.Context(), func(s string) {
		t.Log(s)
		if killed != nil && s == "the application can write again" {
			killed.Restart()
		}
	}, func(_ context.Context, master string) error {
		killed = d.Node(master)
		killed.Kill()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.LostAcknowledged != 0 || r.Kind != "external" || r.ElectionMS < 1900 {
		t.Errorf("got %+v", r)
	}
}

func TestADrillDoesNotStartOnADeploymentThatIsNotReady(t *testing.T) {
	t.Parallel()
	d, c := deployment(t)
	if err := d.Nodes[2].Client().ConfigSet(t.Context(), "maxmemory-policy",
		"volatile-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PlannedFailover(t.Context(), nil, nil); migration.KindOf(err) != migration.Blocked {
		t.Errorf("got %v", err)
	}
}
