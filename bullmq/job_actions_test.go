package bullmq_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Our action leaves the same keys as BullMQ's own method, for both versions, paused
// or not.
func TestActingOnAJobLeavesWhatBullMQLeaves(t *testing.T) {
	for _, major := range []bullmqtest.Major{5, 6} {
		for _, c := range []struct {
			name, id, method string
			action           bullmq.JobAction
			opts             map[string]any
			finished, paused bool
		}{
			{name: "retry failed", id: "dead_0", method: "retry", action: bullmq.RetryJob,
				finished: true},
			{name: "retry failed of a paused queue", id: "dead_0", method: "retry",
				action: bullmq.RetryJob, finished: true, paused: true},
			{name: "retry completed", id: "done_1", method: `retry","args":["completed"],"x":"`,
				action: bullmq.RetryJob, finished: true},
			{name: "promote", id: "j", method: "promote", action: bullmq.PromoteJob,
				opts: map[string]any{"delay": 60_000}},
			{name: "promote prioritized", id: "j", method: "promote", action: bullmq.PromoteJob,
				opts: map[string]any{"delay": 60_000, "priority": 3}},
			{name: "promote in a paused queue", id: "j", method: "promote",
				action: bullmq.PromoteJob, opts: map[string]any{"delay": 60_000}, paused: true},
			{name: "remove waiting", id: "j", method: "remove", action: bullmq.RemoveJob},
			{name: "remove waiting of a paused queue", id: "j", method: "remove",
				action: bullmq.RemoveJob, paused: true},
			{name: "remove deduplicated", id: "j", method: "remove", action: bullmq.RemoveJob,
				opts: map[string]any{"deduplication": map[string]any{"id": "d"}}},
			{name: "remove delayed", id: "j", method: "remove", action: bullmq.RemoveJob,
				opts: map[string]any{"delay": 60_000}},
			{name: "remove completed", id: "done_1", method: "remove", action: bullmq.RemoveJob,
				finished: true},
		} {
			t.Run(fmt.Sprint(major, " ", c.name), func(t *testing.T) {
				t.Parallel()
				theirs, ours := redistest.Start(t), redistest.Start(t)
				if c.finished {
					major.Populate(t, theirs, "orders")
				} else {
					if c.opts == nil {
						c.opts = map[string]any{}
					}
					c.opts["jobId"] = c.id
					major.Add(t, theirs, "orders", bullmqtest.Task{Name: "n", Opts: c.opts})
				}
				if c.paused {
					major.Run(t, theirs, "orders", "pause", "")
				}
				take(t, theirs.Client()).put(t, ours.Client())
				major.Run(t, theirs, "orders", "call",
					fmt.Sprintf(`{"job":%q,"method":"%s"}`, c.id, c.method))
				if err := bullmq.ActOnJob(t.Context(), ours.Client(),
					bullmq.Queue{Name: "orders"}, c.id, c.action); err != nil {
					t.Fatal(err)
				}
				want, got := values(t, theirs.Client()), values(t, ours.Client())
				for _, k := range slices.Sorted(maps.Keys(want)) {
					if got[k] != want[k] {
						t.Errorf("%s is %s, BullMQ leaves %s", k, got[k], want[k])
					}
					delete(got, k)
				}
				for k, v := range got {
					t.Errorf("%s = %s should not be there", k, v)
				}
			})
		}
	}
}

// values is every key with its value; for an event stream, the events without their
// times.
func values(t *testing.T, c redis.UniversalClient) map[string]string {
	t.Helper()
	ctx, out := t.Context(), map[string]string{}
	for _, k := range c.Keys(ctx, "*").Val() {
		if strings.HasSuffix(k, ":stalled-check") {
			continue
		}
		switch c.Type(ctx, k).Val() {
		case "string":
			out[k] = c.Get(ctx, k).Val()
		case "list":
			out[k] = fmt.Sprint(c.LRange(ctx, k, 0, -1).Val())
		case "hash":
			out[k] = fmt.Sprint(c.HGetAll(ctx, k).Val())
		case "set":
			members := c.SMembers(ctx, k).Val()
			slices.Sort(members)
			out[k] = fmt.Sprint(members)
		case "zset":
			out[k] = fmt.Sprint(c.ZRangeWithScores(ctx, k, 0, -1).Val())
		case "stream":
			for _, e := range c.XRange(ctx, k, "-", "+").Val() {
				out[k] += fmt.Sprint(e.Values)
			}
		}
	}
	return out
}

func TestActingOnAJobIsRefusedWhereItWouldDoHarm(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	v6, c := bullmqtest.Major(6), srv.Client()
	v6.Populate(t, srv, "orders")
	scheduled := strings.TrimPrefix(c.Keys(t.Context(), "bull:orders:repeat:tick:*").Val()[0],
		"bull:orders:")
	parent := c.ZRange(t.Context(), "bull:orders:waiting-children", 0, 0).Val()[0]
	c.LRem(t.Context(), "bull:orders:wait", 1, "custom_0")
	c.RPush(t.Context(), "bull:orders:active", "custom_0")
	bullmqtest.Major(4).Add(t, srv, "old",
		bullmqtest.Task{Name: "n", Opts: map[string]any{"jobId": "j", "delay": 60_000}})
	before := values(t, c)
	for _, r := range []struct {
		queue, id string
		action    bullmq.JobAction
		kind      migration.Kind
		why       string
	}{
		{"orders", "custom_1", bullmq.RetryJob, migration.Blocked,
			"neither failed nor completed"},
		{"orders", "custom_1", bullmq.PromoteJob, migration.Blocked, "not delayed"},
		{"orders", "custom_0", bullmq.RemoveJob, migration.Blocked,
			"a worker is processing it"},
		{"orders", parent, bullmq.RemoveJob, migration.Blocked, "belongs to a flow"},
		{"orders", scheduled, bullmq.RemoveJob, migration.Blocked, "next job of a scheduler"},
		{"orders", scheduled, bullmq.PromoteJob, migration.Blocked, "next job of a scheduler"},
		{"orders", "nobody", bullmq.RemoveJob, migration.NotFound, "nobody"},
		{"orders", "custom_1", "obliterate", migration.Invalid, "retry, promote or remove"},
		{"old", "j", bullmq.PromoteJob, migration.Blocked, "4.18.3"},
	} {
		err := bullmq.ActOnJob(t.Context(), c, bullmq.Queue{Name: r.queue}, r.id, r.action)
		if migration.KindOf(err) != r.kind || err == nil ||
			!strings.Contains(err.Error(), r.why) {
			t.Errorf("%s %s: %v, want %s saying %q", r.action, r.id, err, r.kind, r.why)
		}
	}
	if after := values(t, c); !maps.Equal(before, after) {
		t.Error("a refused action changed something")
	}
}

func TestARetriedJobRunsOnce(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	v6 := bullmqtest.Major(6)
	v6.Run(t, srv, "orders", "add",
		`[{"name":"n","data":{"k":"a","failures":1},"opts":{"jobId":"a"}}]`)
	w := v6.Work(t, srv, "orders")
	redistest.Eventually(t, 10*time.Second, func() error {
		return bullmq.ActOnJob(t.Context(), srv.Client(), bullmq.Queue{Name: "orders"}, "a",
			bullmq.RetryJob)
	})
	if got := w.Expect(t, 1); got[0] != "a" {
		t.Errorf("ran %v", got)
	}
	w.ExpectNone(t)
}
