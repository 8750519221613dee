package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestAnAlertIsOneLineWithStableFieldsWhenItOpensAndOneWhenItIsSettled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	told := 0
	s := &follower{Streams: &Streams{notify: func(topic string) { told++ }, log: slog.New(slog.NewJSONHandler(&out, nil))}}
	x := ledger.Exception{Queue: "order-ingestion", Job: "evt_1", Verdict: ledger.Late, At: 1000, Detail: "not ended"}
	s.alert([]ledger.Exception{x})
	x.SettledBy, x.SettledAt = "it took effect after all", 43_000
	s.alert([]ledger.Exception{x})
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if len(lines) != 2 || told != 2 {
		t.Fatalf("%d lines, pages told %d times: %s", len(lines), told, &out)
	}
	for i, want := range []map[string]any{
		{"level": "WARN", "msg": "order ledger", "alert": "order_late", "state": "open", "verdict": "late", "queue": "order-ingestion", "job": "evt_1", "detail": "not ended"},
		{"level": "INFO", "msg": "order ledger", "alert": "order_late", "state": "settled", "verdict": "late", "queue": "order-ingestion", "job": "evt_1", "detail": "not ended", "settled_by": "it took effect after all", "seconds": 42.0},
	} {
		var got map[string]any
		if err := json.Unmarshal(lines[i], &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "time")
		if len(got) != len(want) {
			t.Errorf("line %d has the fields %v, want %v", i, got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("line %d: %s is %v, want %v", i, k, got[k], v)
			}
		}
	}
}

// The order ledger's own XREAD, begun while a decommission was starting, was taken for an
// application's: the lane was known to the database only a second later.
func TestALaneIsRegisteredBeforeItsServerIsRead(t *testing.T) {
	t.Parallel()
	r := openRig(t, config.Config{Queues: []string{"order-ingestion"}})
	ok(t, r.store.CreateFlagSet(t.Context(), migration.FlagSet{ID: mid, MigrationID: mid,
		CreatedBy: "test", CreatedAt: r.clk.now()}))
	s := &follower{Streams: r.Streams, mid: mid}
	at := ledger.Lane{Side: ledger.Source, Queue: "order-ingestion"}
	source := func(e migration.SourceEndpoint) {
		t.Helper()
		_, err := r.Routing.Set(t.Context(), mid,
			migration.Routing{Stage: migration.StageOff, Source: e}, "test", "test", "")
		ok(t, err)
	}

	source(migration.SourceStandalone)
	ok(t, r.Streams.AwaitLeft(t.Context(), mid))
	c, err := s.begin(t.Context(), at)
	ok(t, err)
	if c == nil {
		t.Fatal("a lane of a source that the flags name is not read")
	}
	source(migration.SourceNone)
	briefly, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := r.Streams.AwaitLeft(briefly, mid); err == nil {
		t.Error("a lane that has begun to read does not count as reading")
	}
	_, stale, lanes, err := r.Streams.Now(t.Context(), mid)
	ok(t, err)
	if len(lanes) != 1 || lanes[0].Current || !strings.Contains(stale[0], "not been read yet") {
		t.Errorf("a lane not yet read is %+v, %v", lanes, stale)
	}
	if c, err = s.begin(t.Context(), at); err != nil || c != nil {
		t.Errorf("a source that the flags no longer name is read: %v, %v", c, err)
	}
}

// A provisioning that is taken back closes the connection over which the target's events are
// read. That is no failure of the server, and nothing was missed there.
func TestAServerThatIsLetGoWhileItIsReadLeavesNoGap(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	q := bullmq.Queue{Prefix: "bull", Name: "orders"}
	ok(t, server.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: q.Key("events"),
		Values: []string{"event", "drained"}}).Err())
	r := openRig(t, config.Config{Queues: []string{q.Name}})
	at := ledger.Lane{Side: ledger.Target, Queue: q.String()}
	l := ledger.NewStreams(ledger.Options{})
	s := &follower{Streams: r.Streams, mid: mid}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	defer func() { cancel(); following.Wait() }()
	following.Go(func() { s.follow(ctx, l, q, at) })
	lane := func() (c ledger.Cursor) {
		for _, c = range l.Changes().Cursors {
			if c.Lane == at {
				return c
			}
		}
		return ledger.Cursor{}
	}
	for range 5 {
		r.Servers.mu.Lock()
		r.Servers.target = server.Foreign("ledger")
		r.Servers.mu.Unlock()
		redistest.Eventually(t, time.Minute, func() error {
			if c := lane(); c.ReadAt == 0 || c.DroppedAt != 0 {
				return fmt.Errorf("it is not read: %+v", c)
			}
			return nil
		})
		ok(t, r.Servers.ForgetTarget(t.Context()))
		redistest.Eventually(t, time.Minute, func() error {
			if c := lane(); c.DroppedAt == 0 {
				return fmt.Errorf("it is not let go: %+v", c)
			}
			return nil
		})
	}
	if gaps := l.Gaps(); len(gaps) > 0 {
		t.Errorf("%+v", gaps)
	}
}
