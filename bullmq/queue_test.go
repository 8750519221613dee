package bullmq_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestDiscoverFindsQueuesAndNothingElse(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, ctx := s.Client(), t.Context()
	bullmqtest.Major(6).Add(t, s, "orders", bullmqtest.Plain("a", 1)...)
	bullmqtest.Major(5).Add(t, s, "mails",
		bullmqtest.Task{Name: "mail", Opts: map[string]any{"jobId": "meta"}})
	// a queue that only a FlowProducer of BullMQ 3 ever touched
	c.XAdd(ctx, newEvent("{shop}:prod:flow-only:events"))
	c.RPush(ctx, "bull:no-proof:wait", "1")
	c.HSet(ctx, "bull::relay", "x", "1")
	c.HSet(ctx, "cache:user:meta2", "x", "1")
	got, err := bullmq.Discover(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	want := []bullmq.Queue{
		{Prefix: "bull", Name: "mails"},
		{Prefix: "bull", Name: "orders"},
		{Prefix: "{shop}:prod", Name: "flow-only"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCensusCountsEveryState(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	q := bullmq.Queue{Name: "orders"}
	w := bullmqtest.Major(6).Work(t, s, q.Name)
	bullmqtest.Major(6).Add(t, s, q.Name, bullmqtest.Task{Name: "bad",
		Data: map[string]any{"fail": true}}, bullmqtest.Task{Name: "good"},
		bullmqtest.Task{Name: "slow", Data: map[string]any{"hold": true}})
	w.Expect(t, 1)
	c, ctx := s.Client(), t.Context()
	redistest.Eventually(t, 5*time.Second, func() error {
		if n, err := bullmq.Census(ctx, c, q); err != nil || n.Active != 1 || n.Failed != 1 {
			return fmt.Errorf("%+v %v", n, err)
		}
		return nil
	})
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if err := bullmq.WaitIdle(short, c, q); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), " 1 jobs are still active") {
		t.Errorf("while a job is active: %v", err)
	}
	if err := bullmq.Pause(ctx, c, q); err != nil {
		t.Fatal(err)
	}
	bullmqtest.Major(6).Add(t, s, q.Name, bullmqtest.Task{Name: "a"},
		bullmqtest.Task{Name: "b", Opts: map[string]any{"delay": 3_600_000}},
		bullmqtest.Task{Name: "c", Opts: map[string]any{"priority": 3}})
	bullmqtest.Major(6).Run(t, s, q.Name, "every", "") // its first job waits at once
	n, err := bullmq.Census(ctx, c, q)
	if err != nil {
		t.Fatal(err)
	}
	if n.Version != "6.7.0" || !n.Paused || n.Waiting != 2 || n.Active != 1 || n.Delayed != 1 ||
		n.Prioritized != 1 || n.Completed != 1 || n.Failed != 1 ||
		n.Schedulers != 1 || n.OldestJobAgeMS <= 0 || n.Pending() != 6 {
		t.Errorf("got %+v, pending %d", n, n.Pending())
	}
	workers, err := bullmq.Workers(ctx, c, q)
	if err != nil || len(workers) != 1 || !strings.Contains(workers[0], ":w:fixture ") {
		t.Errorf("workers %v, %v", workers, err)
	}
	w.Stop() // lets the slow job end
	if err := bullmq.WaitIdle(ctx, c, q); err != nil {
		t.Error(err)
	}
}

// ids returns prefix_0 ... prefix_n-1.
func ids(prefix string, n int) []string {
	var out []string
	for _, p := range bullmqtest.Plain(prefix, n) {
		out = append(out, p.Opts["jobId"].(string))
	}
	return out
}

// sameSet compares without regard to order.
func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestHazardPauseHoldsWorkersOfEveryVersionAndResumeLosesNothing(t *testing.T) {
	t.Parallel()
	all := append(ids("before", 5), ids("after", 3)...)
	for _, tt := range []struct {
		rule    string
		version bullmqtest.Major
		resume  func(t *testing.T, s *redistest.Server, q bullmq.Queue) error
	}{
		{"BullMQ 6, our resume", 6, ours},
		{"BullMQ 6, its own resume", 6, its(6)},
		{"BullMQ 5, our resume", 5, ours},
		{"BullMQ 5, its own resume", 5, its(5)},
		{"BullMQ 5 paused, resumed by 6", 5, its(6)},
		{"BullMQ 4, our resume", 4, ours},
		{"BullMQ 4, its own resume", 4, its(4)},
		{"BullMQ 3, our resume", 3, ours},
		{"BullMQ 3, its own resume", 3, its(3)},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			q := bullmq.Queue{Name: "orders"}
			tt.version.Add(t, s, q.Name, bullmqtest.Plain("before", 5)...)
			for range 2 {
				if err := bullmq.Pause(t.Context(), s.Client(), q); err != nil {
					t.Fatal(err)
				}
			}
			w := tt.version.Work(t, s, q.Name)
			tt.version.Add(t, s, q.Name, bullmqtest.Plain("after", 3)...)
			w.ExpectNone(t)
			if n, err := bullmq.Census(t.Context(), s.Client(), q); err != nil ||
				n.Waiting != 8 || !n.Paused {
				t.Errorf("while paused: %+v %v", n, err)
			}
			if err := tt.resume(t, s, q); err != nil {
				t.Fatal(err)
			}
			if got := w.Expect(t, 8); !sameSet(got, all) {
				t.Errorf("ran %v", got)
			}
			w.ExpectNone(t)
		})
	}
}

func ours(t *testing.T, s *redistest.Server, q bullmq.Queue) error {
	return bullmq.Resume(t.Context(), s.Client(), q)
}

func its(m bullmqtest.Major) func(*testing.T, *redistest.Server, bullmq.Queue) error {
	return func(t *testing.T, s *redistest.Server, q bullmq.Queue) error {
		m.Run(t, s, q.Name, "resume", "")
		return nil
	}
}

// A flag set by hand on a version 5 queue leaves jobs in both lists; version 5's
// own resume would lose those that wait.
func TestHazardResumeMergesBothListsInOrder(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, ctx, q := s.Client(), t.Context(), bullmq.Queue{Name: "orders"}
	bullmqtest.Major(5).Add(t, s, q.Name, bullmqtest.Plain("first", 5)...)
	c.HSet(ctx, q.Key("meta"), "paused", 1)
	bullmqtest.Major(5).Add(t, s, q.Name, bullmqtest.Plain("later", 3)...)
	if wait, paused := c.LLen(ctx, q.Key("wait")).Val(), c.LLen(ctx,
		q.Key("paused")).Val(); wait != 5 || paused != 3 {
		t.Fatalf("the fixture holds %d and %d jobs, expected 5 and 3", wait, paused)
	}
	if err := bullmq.Resume(ctx, c, q); err != nil {
		t.Fatal(err)
	}
	if n := c.LLen(ctx, q.Key("wait")).Val(); n != 8 ||
		c.Exists(ctx, q.Key("paused")).Val() != 0 {
		t.Errorf("%d jobs wait after resume, expected 8", n)
	}
	if got := bullmqtest.Major(5).Work(t, s, q.Name).Expect(t, 8); !sameSet(got,
		append(ids("first", 5), ids("later", 3)...)) {
		t.Errorf("ran %v", got)
	}
}

func TestResumeWakesIdleWorkersForDelayedJobs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, q := s.Client(), bullmq.Queue{Name: "orders"}
	w := bullmqtest.Major(6).Work(t, s, q.Name) // looks again only after 60 s unless woken
	if err := bullmq.Pause(t.Context(), c, q); err != nil {
		t.Fatal(err)
	}
	bullmqtest.Major(6).Add(t, s, q.Name,
		bullmqtest.Task{Name: "later", Opts: map[string]any{"delay": 200}})
	if err := bullmq.Resume(t.Context(), c, q); err != nil {
		t.Fatal(err)
	}
	w.Expect(t, 1)
}
