package environment

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/series"
)

func TestASideHasAPointOnlyWhenEachOfItsQueuesWasRead(t *testing.T) {
	t.Parallel()
	s := &Streams{servers: &Servers{Queues: []bullmq.Queue{
		bullmq.ParseQueue("orders"), bullmq.ParseQueue("mail"),
	}}}
	gauge := func(side, queue string, jobs, oldest int64, added int64) ledger.Gauge {
		return ledger.Gauge{Lane: ledger.Lane{Side: side, Queue: queue}, Jobs: jobs,
			OldestMS: oldest, Events: map[string]int64{"added": added, "completed": 6},
			Over: 10 * time.Second, Trips: []time.Duration{2 * time.Millisecond}}
	}
	unknown := gauge("source", "mail", 3, -1, 1)
	unknown.Events = nil
	for name, c := range map[string]struct {
		gauges []ledger.Gauge
		want   map[string]float64
	}{
		"both queues were read": {
			[]ledger.Gauge{gauge("source", "orders", 4, 1500, 2), gauge("source", "mail", 3, 0, 1)},
			map[string]float64{"depth_source": 7, "oldest_source": 1.5, "in_source": 18,
				"out_source": 72, "failed_source": 0, "response_source": 2},
		},
		"one queue was not read": {
			[]ledger.Gauge{gauge("target", "orders", 4, 1500, 2)},
			map[string]float64{"response_target": 2},
		},
		"the first reading of a queue": {
			[]ledger.Gauge{gauge("source", "orders", 4, 1500, 2), unknown},
			map[string]float64{"depth_source": 7, "response_source": 2},
		},
		"nothing was read": {nil, map[string]float64{}},
	} {
		got := map[string]series.Bucket{}
		s.sample(c.gauges, got)
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v", name, got)
		}
		for k, v := range c.want {
			if got[k].Count == 0 || got[k].Mean() != v {
				t.Errorf("%s: %s is %+v, want %v", name, k, got[k], v)
			}
		}
	}
}

func TestTheAppsOrdersMakeARateOnlyWhileTheyAreHeardLive(t *testing.T) {
	t.Parallel()
	now := int64(1_764_000_000_000)
	var f flow
	for _, e := range []ledger.Event{
		{Type: ledger.EventEnqueued, OK: true, Side: "source", At: now - 100},
		{Type: ledger.EventEnqueued, OK: true, Side: "target", At: now - 100, Shadow: true},
		{Type: ledger.EventEnqueued, OK: false, Side: "target", At: now - 100},
		{Type: ledger.EventEnqueued, OK: true, Side: "target", At: now - 100},
		{Type: ledger.EventEnqueued, OK: true, Side: "source", At: now - 60_000}, // history
		{Type: ledger.EventDelivery, Status: 200, MS: 12, At: now},
		{Type: ledger.EventDelivery, Status: 503, MS: 9000, At: now},
	} {
		f.note(e, now)
	}
	if f.orders["source"] != 1 || f.orders["target"] != 1 || f.answer != series.Of(12) {
		t.Errorf("%+v", f)
	}
}
