package bullmq_test

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Jobs of a killed worker on a queue that nobody works stay in progress for ever.
func TestJobsOfAKilledWorkerWaitAgainOrFail(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	for _, tc := range []struct {
		rule, version string
		paused        bool
		list          string // where a job that stalled once waits
		marker        bool
	}{
		{"a queue of BullMQ 6", "bullmq:6.7.0", false, "wait", true},
		{"a paused queue of BullMQ 6", "bullmq:6.7.0", true, "wait", false},
		{"a paused queue of BullMQ 5", "bullmq:5.60.0", true, "paused", false},
		{"a queue of BullMQ 4", "bullmq:4.18.3", false, "wait", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			ctx, c := t.Context(), srv.Client()
			q := bullmq.Queue{Prefix: "bull", Name: "orders-shadow"}
			redistest.Empty(t, c)
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.HSet(ctx, q.Key("meta"), "version", tc.version)
				if tc.paused {
					p.HSet(ctx, q.Key("meta"), "paused", 1)
				}
				for _, id := range []string{"once", "again", "held"} {
					p.HSet(ctx, q.Key(id), "name", "order", "data", "{}")
					p.LPush(ctx, q.Key("active"), id)
				}
				p.HSet(ctx, q.Key("again"), "stc", 1)
				p.Set(ctx, q.Key("held:lock"), "token", time.Minute)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if ids, err := bullmq.Stalled(ctx, c, q); err != nil || len(ids) != 2 ||
				slices.Contains(ids, "held") {
				t.Errorf("stalled are %v, %v", ids, err)
			}
			r, err := bullmq.RecoverStalled(ctx, c, q)
			if err != nil || !slices.Equal(r.Waiting, []string{"once"}) ||
				!slices.Equal(r.Failed, []string{"again"}) {
				t.Errorf("%+v %v", r, err)
			}
			if again, err := bullmq.RecoverStalled(ctx, c, q); err != nil ||
				len(again.Waiting)+len(again.Failed) > 0 {
				t.Errorf("a second time: %+v %v", again, err)
			}
			if got := c.LRange(ctx, q.Key("active"), 0, -1).Val(); !slices.Equal(got,
				[]string{"held"}) {
				t.Errorf("active are %v", got)
			}
			if got := c.LRange(ctx, q.Key(tc.list), 0, -1).Val(); !slices.Equal(got,
				[]string{"once"}) {
				t.Errorf("%s holds %v", tc.list, got)
			}
			if got := c.Exists(ctx, q.Key("marker")).Val() == 1; got != tc.marker {
				t.Errorf("marker: %v", got)
			}
			if got := c.ZRange(ctx, q.Key("failed"), 0, -1).Val(); !slices.Equal(got,
				[]string{"again"}) {
				t.Errorf("failed are %v", got)
			}
		})
	}
}
