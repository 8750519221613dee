package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// sides are two real servers whose queue "orders" is followed, and what the
// application would have recorded.
type sides struct {
	t       *testing.T
	servers map[string]*redistest.Server
	l       *ledger.Streams
	mu      sync.Mutex
	journal *ledger.Journal
	seq     int64
	db      *recorder
}

func followBoth(t *testing.T) *sides {
	t.Helper()
	s := &sides{t: t, servers: map[string]*redistest.Server{ledger.Source: redistest.Start(t),
		ledger.Target: redistest.Start(t)}, journal: ledger.NewJournal("orders"), db: newRecorder(),
		l: ledger.NewStreams(ledger.Options{Linger: 500 * time.Millisecond,
			Deadline: 30 * time.Second})}
	s.tell(ledger.Event{Type: ledger.EventDelivery, Order: "first", Status: 500})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for side, srv := range s.servers {
		wg.Go(func() {
			err := s.l.Follow(ctx, srv.Client(), bullmq.Queue{Prefix: "bull", Name: "orders"},
				lane(side, false), func() int64 {
					return time.Now().UnixMilli()
				})
			if ctx.Err() == nil {
				t.Errorf("following the %s: %v", side, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

func (s *sides) tell(e ledger.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	e.Seq, e.At = s.seq, time.Now().UnixMilli()
	s.journal.Apply(e)
}

// add has real BullMQ add jobs, and records what the application would: sent there and
// acknowledged. ran records that they took effect.
func (s *sides) add(m bullmqtest.Major, side string, tasks []bullmqtest.Task) {
	s.t.Helper()
	for _, task := range tasks {
		id := task.Opts["jobId"].(string)
		s.tell(ledger.Event{Type: ledger.EventEnqueued, Order: id, JobID: id,
			Side: side, OK: true})
		s.tell(ledger.Event{Type: ledger.EventDelivery, Order: id, Status: 200})
	}
	for part := range slices.Chunk(tasks, 5000) {
		m.Add(s.t, s.servers[side], "orders", part...)
	}
}

func (s *sides) ran(e bullmqtest.Executed, outcome string) {
	s.tell(ledger.Event{Type: ledger.EventExecuted, Order: e.ID, JobID: e.ID, Outcome: outcome})
}

// until judges and saves until done returns true.
func (s *sides) until(what string, done func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for {
		now := time.Now().UnixMilli()
		s.l.Judge(now, now, s.journal)
		s.db.save(s.l.Changes())
		if done() {
			return
		}
		select {
		case <-deadline.C:
			s.t.Fatalf("%s: exceptions %+v, %d lives open", what, s.db.exceptions,
				len(s.db.lives))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// digest is clients/node's dataDigest, for data without a routing stamp.
func digest(data string) string {
	h := sha256.Sum256([]byte(data))
	return hex.EncodeToString(h[:8])
}

// doubts returns the reasons of all windows, except that reading began.
func (s *sides) doubts() (all []string) {
	for _, w := range s.db.windows {
		for _, r := range w.Reasons {
			if r != ledger.Began {
				all = append(all, w.Lane.String()+": "+r)
			}
		}
	}
	return all
}

// For every version, the server's own counters agree with what was read, and
// nothing is raised.
func TestRealQueuesInOrderRaiseNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []int{4, 5, 6} {
		t.Run(fmt.Sprintf("BullMQ %d", version), func(t *testing.T) {
			t.Parallel()
			n := 500
			if version == 6 {
				n = 15_000 // on each side: 30,000 orders
			}
			s := followBoth(t)
			m := bullmqtest.Major(version)
			workers := map[string]*bullmqtest.Worker{}
			for side, srv := range s.servers {
				workers[side] = m.Work(t, srv, "orders", "CONCURRENCY=50")
			}
			for side := range s.servers {
				s.add(m, side, bullmqtest.Plain(side, n))
				for range n {
					s.ran(<-workers[side].Jobs, ledger.OutcomeApplied)
				}
			}
			s.until("not everything was folded", func() bool {
				return len(s.db.done) == 2*n && len(s.db.lives) == 0
			})
			s.db.judged(t, "clean", nil)
			if d := s.doubts(); len(d) > 0 {
				t.Errorf("inconclusive: %v", d)
			}
			for side := range s.servers {
				cur := s.db.cursors[lane(side, false)]
				if cur.Adds != int64(n) || cur.Open != 0 || cur.Closed != int64(n) {
					t.Errorf("%s: %+v", side, cur)
				}
			}
		})
	}
}

func TestFaultsOfRealQueuesAreFoundByTheirIds(t *testing.T) {
	t.Parallel()
	s := followBoth(t)
	v6 := bullmqtest.Major(6)
	source, target := s.servers[ledger.Source], s.servers[ledger.Target]
	one := func(id string) []bullmqtest.Task {
		return []bullmqtest.Task{{Name: "order",
			Opts: map[string]any{"jobId": id, "removeOnComplete": true}}}
	}
	delayed := func(id string) []bullmqtest.Task {
		return []bullmqtest.Task{{Name: "order",
			Opts: map[string]any{"jobId": id, "delay": 600_000}}}
	}
	workers := []*bullmqtest.Worker{v6.Work(t, source, "orders"), v6.Work(t, target, "orders")}
	raised := func(v ledger.Verdict, id string) func() bool {
		return func() bool { return s.db.exceptions[string(v)+" orders "+id].Job == id }
	}

	s.add(v6, ledger.Source, delayed("hashless"))
	s.until("not seen", func() bool {
		lives, _ := s.l.Find("hashless")
		return len(lives) == 1
	})
	source.Client().Del(t.Context(), "bull:orders:hashless")
	s.until("a deleted hash", raised(ledger.Loss, "hashless"))
	if e := s.db.exceptions["loss orders hashless"]; !strings.Contains(e.Detail, "empty data") {
		t.Errorf("%+v", e)
	}

	s.add(v6, ledger.Source, one("both"))
	s.ran(<-workers[0].Jobs, ledger.OutcomeApplied)
	v6.Add(t, target, "orders", one("both")...)
	s.ran(<-workers[1].Jobs, ledger.OutcomeApplied)
	s.until("a run on both sides", raised(ledger.Double, "both"))
	s.until("and the side it was not sent to", raised(ledger.Stray, "both"))
	if e := s.db.exceptions["double orders both"]; e.SettledBy != "" {
		t.Errorf("settled by %s, although it took effect twice", e.SettledBy)
	}

	// Data that changes behind the app's back, and data that an eviction takes: the job
	// still runs.
	for id, spoil := range map[string]func(key string) error{
		"changed": func(key string) error {
			return target.Client().HSet(t.Context(), key, "data", `{"n":2}`).Err()
		},
		"evicted": func(key string) error {
			return target.Client().Del(t.Context(), key).Err()
		},
	} {
		task := bullmqtest.Task{Name: "order", Data: map[string]any{"n": 1},
			Opts: map[string]any{"jobId": id}}
		s.tell(ledger.Event{Type: ledger.EventEnqueued, Order: id, JobID: id,
			Side: ledger.Target, OK: true, Digest: digest(`{"n":1}`)})
		s.tell(ledger.Event{Type: ledger.EventDelivery, Order: id, Status: 200})
		v6.Run(t, target, "orders", "pause", "")
		v6.Add(t, target, "orders", task)
		if err := spoil("bull:orders:" + id); err != nil {
			t.Fatal(err)
		}
		v6.Run(t, target, "orders", "resume", "")
		got := <-workers[1].Jobs
		s.tell(ledger.Event{Type: ledger.EventExecuted, Order: id, JobID: got.ID,
			Side: ledger.Target, Outcome: ledger.OutcomeApplied,
			Digest: digest(string(got.Data))})
		s.until("data that was "+id, raised(ledger.Mismatch, id))
		if e := s.db.exceptions["mismatch orders "+id]; !strings.Contains(e.Detail,
			digest(string(got.Data))) || !strings.Contains(e.Detail, digest(`{"n":1}`)) ||
			e.SettledBy != "" {
			t.Errorf("%s: %+v", id, e)
		}
	}

	v6.Add(t, source, "orders", one("nobody")...)
	<-workers[0].Jobs
	s.until("a job that nobody sent", raised(ledger.Ghost, "nobody"))

	// Entries are trimmed before they are read: one transaction does it all at
	// once.
	if _, err := source.Client().TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events",
			Values: []any{"event", "added", "jobId", "unread"}})
		p.XTrimMaxLen(t.Context(), "bull:orders:events", 0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	v6.Add(t, source, "orders", delayed("after")...)
	s.until("a trimmed stream", func() bool {
		return strings.Contains(strings.Join(s.doubts(), " "), "1 entries were trimmed")
	})
}
