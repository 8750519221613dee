package bullmq_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func survey(
	t *testing.T, c redis.UniversalClient, queue string,
) (bullmq.Survey, bullmq.QueueSurvey) {
	t.Helper()
	s, err := bullmq.TakeSurvey(t.Context(), c, bullmq.SurveyOptions{Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	q, ok := s.Queue(bullmq.Queue{Name: queue})
	if !ok {
		t.Fatalf("no queue %s among %+v", queue, s.Queues)
	}
	return s, q
}

func TestSurveySeesEveryFeatureOfEveryVersion(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			want := major.Populate(t, srv, "orders")
			major.Work(t, srv, "elsewhere")
			s, q := survey(t, srv.Client(), "orders")
			if q.Layout != fmt.Sprint(major) && !(major < 5 && q.Layout == "3") {
				t.Errorf("layout %q, version %q", q.Layout, q.Counts.Version)
			}
			if fmt.Sprint(s.Groups) != "[[elsewhere] [orders-children orders]]" &&
				fmt.Sprint(s.Groups) != "[[orders-children orders]]" {
				t.Errorf("groups %v", s.Groups)
			}
			if q.FlowParents != 3 || q.FlowChildren != 3 ||
				fmt.Sprint(q.TiedTo) != "[orders-children]" {
				t.Errorf("%d parents, %d children, tied to %v", q.FlowParents,
					q.FlowChildren, q.TiedTo)
			}
			if q.Retrying != 3 || q.DelayedFirst == nil ||
				time.Until(*q.DelayedFirst) > 10*time.Second ||
				q.DelayedOver["within an hour"]+q.DelayedOver["overdue"] != q.Counts.Delayed {
				t.Errorf("%d retrying, first at %v, over %v of %d", q.Retrying, q.DelayedFirst,
					q.DelayedOver, q.Counts.Delayed)
			}
			if q.HashesWithoutIndex != 0 || q.IndexedWithoutHash != 0 || q.StalledCount != 0 {
				t.Errorf("orphans: %d, %d; stalled %d: %v", q.HashesWithoutIndex,
					q.IndexedWithoutHash, q.StalledCount, q.Examples)
			}
			jobs := q.Counts.Pending() + q.Counts.Completed
			// Census counts a marker id in the middle of the list as a job
			if major < 5 && int64(q.Payload.Sampled) == jobs-1 {
				jobs--
			}
			if int64(q.Payload.Sampled) != jobs || q.Payload.P50 < 10 ||
				q.Payload.Max < q.Payload.P99 {
				t.Errorf("payload %+v of %d jobs", q.Payload, jobs)
			}
			if q.MemoryBytes < 10_000 || q.MemoryBytes > 200_000 {
				t.Errorf("memory %d, %s", q.MemoryBytes, q.MemoryNote)
			}
			if want.Scheduler == 0 {
				return
			}
			if len(q.Schedulers) != 1 || q.Schedulers[0].ID != "tick" ||
				q.Schedulers[0].EveryMS != 3000 || q.Schedulers[0].Legacy ||
				q.Schedulers[0].PendingMissing {
				t.Errorf("schedulers %+v", q.Schedulers)
			}
			ttl := map[string]bool{}
			for _, d := range q.Dedup {
				ttl[d.ID] = d.TTL > 0
			}
			if q.DedupCount != 2 || !ttl["d1"] || ttl["d2"] {
				t.Errorf("deduplication %+v", q.Dedup)
			}
		})
	}
}

func TestSurveyFindsWhatIsWrongWithAQueue(t *testing.T) {
	t.Parallel()
	v6 := bullmqtest.Major(6)
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *redistest.Server, redis.UniversalClient)
		found func(bullmq.QueueSurvey) string
		want  string
	}{
		{"hash without index",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				c.LRem(t.Context(), "bull:orders:wait", 1, "j_1")
			},
			func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.HashesWithoutIndex, q.Examples)
			}, "1 [j_1]"},
		{"index without hash",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				c.Del(t.Context(), "bull:orders:j_2")
			},
			func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.IndexedWithoutHash, q.Examples)
			}, "1 [j_2]"},
		{"stalled job", func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
			c.LMove(t.Context(), "bull:orders:wait", "bull:orders:active", "right", "left")
		}, func(q bullmq.QueueSurvey) string {
			return fmt.Sprint(q.StalledCount, q.Stalled)
		}, "1 [j_0]"},
		{"deduplication key without end",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				c.Set(t.Context(), "bull:orders:de:d:1", "j_0", 0)
			},
			func(q bullmq.QueueSurvey) string { return fmt.Sprint(q.Dedup) }, "[{d:1 j_0 0s}]"},
		{"hidden next payload",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				c.HSet(t.Context(), "bull:orders:dn:d", "name", "n", "data", "{}", "jid", "1")
			},
			func(q bullmq.QueueSurvey) string { return fmt.Sprint(q.DedupNext) }, "1"},
		{"scheduler without its next job",
			func(t *testing.T, srv *redistest.Server, c redis.UniversalClient) {
				v6.Run(t, srv, "orders", "every", "")
				for _, k := range c.Keys(t.Context(), "bull:orders:repeat:hourly:*").Val() {
					c.Del(t.Context(), k)
					c.ZRem(t.Context(), "bull:orders:delayed",
						strings.TrimPrefix(k, "bull:orders:"))
				}
			}, func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(len(q.Schedulers), q.Schedulers[0].PendingMissing)
			}, "1 true"},
		{"repeatable job of the old kind",
			func(t *testing.T, srv *redistest.Server, _ redis.UniversalClient) {
				bullmqtest.Major(4).Add(t, srv, "orders", bullmqtest.Task{Name: "r",
					Opts: map[string]any{"repeat": map[string]any{"every": 3_600_000}}})
			}, func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(len(q.Schedulers), q.Schedulers[0].Legacy)
			}, "1 true"},
		{"limiter without end",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				c.Set(t.Context(), "bull:orders:limiter", 3, 0)
			},
			func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.Limited, q.LimitedEver)
			}, "true true"},
		{"global limits", func(t *testing.T, srv *redistest.Server, c redis.UniversalClient) {
			c.HSet(t.Context(), "bull:orders:meta", "concurrency", 7)
			v6.Run(t, srv, "orders", "call", `{"method":"setGlobalRateLimit","args":[5,2000]}`)
		}, func(q bullmq.QueueSurvey) string {
			return fmt.Sprint(*q.RateLimit, q.Concurrency)
		}, "{5 2s} 7"},
		{"moved away", func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
			c.Rename(t.Context(), "bull:orders:wait", "fenced:r1:bull:orders:wait")
			c.HSet(t.Context(), "bull:orders:meta", "switchyard:moved", "fenced:r1:")
		},
			func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.MovedBy, " ", q.Copies, q.HashesWithoutIndex)
			}, "r1 3 0"},
		{"children on a second page",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				children := []any{"bull:far:1"}
				for i := range 1000 {
					children = append(children, fmt.Sprint("bull:orders:child_", i))
				}
				c.SAdd(t.Context(), "bull:orders:j_0:dependencies", children...)
				c.HSet(t.Context(), "bull:far:meta", "opts.maxLenEvents", 10000)
			}, func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.FlowParents, q.TiedTo)
			}, "1 [far]"},
		{"stalled jobs beyond a batch",
			func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
				for i := range 250 {
					c.HSet(t.Context(), fmt.Sprint("bull:orders:s_", i), "name", "n",
						"data", "{}", "opts", "{}", "timestamp", 1)
					c.LPush(t.Context(), "bull:orders:active", fmt.Sprint("s_", i))
				}
			}, func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(q.StalledCount, len(q.Stalled))
			}, "250 20"},
		{"workers", func(t *testing.T, srv *redistest.Server, _ redis.UniversalClient) {
			v6.Work(t, srv, "orders").Expect(t, 3)
		},
			func(q bullmq.QueueSurvey) string {
				return fmt.Sprint(len(q.Workers), " ", q.Workers[0].Name)
			}, "1 fixture"},
		{"a job named meta", func(t *testing.T, _ *redistest.Server, c redis.UniversalClient) {
			c.HSet(t.Context(), "shop:{x}:mail:7", "name", "n", "data", "{}", "opts", "{}",
				"timestamp", 1)
			c.HSet(t.Context(), "shop:{x}:mail:meta", "opts.maxLenEvents", 10000, "name", "n",
				"data", "{}", "opts", "{}", "timestamp", 1)
			c.LPush(t.Context(), "shop:{x}:mail:wait", 7)
			c.Set(t.Context(), "shop:{x}:mail:id", 7, 0)
			c.HSet(t.Context(), "bull::relay:ns", "a", 1)
			c.HSet(t.Context(), "other:events", "a", 1)
		}, func(q bullmq.QueueSurvey) string {
			return fmt.Sprint(q.HashesWithoutIndex, q.IndexedWithoutHash)
		}, "0 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			v6.Add(t, srv, "orders", bullmqtest.Plain("j", 3)...)
			c.spoil(t, srv, srv.Client())
			s, q := survey(t, srv.Client(), "orders")
			if got := c.found(q); got != c.want {
				t.Errorf("found %s, want %s", got, c.want)
			}
			if c.name == "a job named meta" {
				if mail, ok := s.Queue(bullmq.Queue{Prefix: "shop:{x}", Name: "mail"}); !ok ||
					mail.Counts.Waiting != 1 || s.Relay != 1 || s.Foreign != 2 ||
					len(s.Queues) != 2 {
					t.Errorf("queues %v, %d foreign keys, %d of the relay", s.Queues,
						s.Foreign, s.Relay)
				}
			}
		})
	}
}

// Jobs that are added, run and removed while the survey looks are not orphans,
// however often it looks.
func TestSurveyOfABusyQueueRaisesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	v6 := bullmqtest.Major(6)
	v6.Produce(t, srv, "orders")
	w := v6.Work(t, srv, "orders")
	for range 40 {
		<-w.Jobs
		if _, q := survey(t, srv.Client(), "orders"); q.HashesWithoutIndex != 0 ||
			q.IndexedWithoutHash != 0 || q.StalledCount != 0 {
			t.Fatalf("orphans %d and %d, stalled %d: %v", q.HashesWithoutIndex,
				q.IndexedWithoutHash, q.StalledCount, q.Examples)
		}
	}
}

func TestSurveyOfAServerThatDeniesMuchSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Password("secret"))
	c := srv.Client()
	for i := range 5 {
		c.HSet(t.Context(), fmt.Sprintf("bull:orders:%d", i), "name", "n", "opts", "{}",
			"timestamp", 1, "data", strings.Repeat("x", 1000))
		c.LPush(t.Context(), "bull:orders:wait", i)
	}
	c.Set(t.Context(), "bull:orders:id", 5, 0)
	c.HSet(t.Context(), "bull:orders:meta", "opts.maxLenEvents", 10000)
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "-memory", "-client|list",
		"-config").Err(); err != nil {
		t.Fatal(err)
	}
	_, q := survey(t, c, "orders")
	if q.WorkersNote == "" || !strings.Contains(q.MemoryNote, "does not allow MEMORY USAGE") ||
		q.MemoryBytes < 5_000 || q.MemoryBytes > 20_000 {
		t.Errorf("workers %q, memory %d %q", q.WorkersNote, q.MemoryBytes, q.MemoryNote)
	}
	if !slices.Equal(q.Examples, []string{}) {
		t.Errorf("examples %v", q.Examples)
	}
}

// What Refresh updates matches a survey of that moment; the rest stays as it was.
func TestRefreshTellsTheCheapPartsAsAWholeSurveyDoes(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			c := srv.Client()
			major.Populate(t, srv, "orders")
			before, was := survey(t, c, "orders")
			major.Add(t, srv, "orders", bullmqtest.Task{Name: "n",
				Opts: map[string]any{"jobId": "new", "delay": 40 * 24 * 3600 * 1000}},
				bullmqtest.Task{Name: "n", Opts: map[string]any{"jobId": "gone"}})
			if err := c.Del(t.Context(), "bull:orders:gone").Err(); err != nil {
				t.Fatal(err)
			}
			major.Work(t, srv, "elsewhere")
			after, err := bullmq.Refresh(t.Context(), c, before, bullmq.SurveyOptions{Share: 1})
			if err != nil {
				t.Fatal(err)
			}
			is, _ := after.Queue(bullmq.Queue{Name: "orders"})
			_, want := survey(t, c, "orders")
			if is.Counts.Delayed != was.Counts.Delayed+1 ||
				is.Counts.Waiting != want.Counts.Waiting ||
				is.DelayedOver["later"] != want.DelayedOver["later"] ||
				!is.DelayedLast.Equal(*want.DelayedLast) {
				t.Errorf("counts %+v over %v, want %+v over %v", is.Counts, is.DelayedOver,
					want.Counts, want.DelayedOver)
			}
			if is.Layout != want.Layout || !slices.Equal(is.Schedulers, want.Schedulers) ||
				is.StalledCount != want.StalledCount {
				t.Errorf("layout %q, schedulers %+v, stalled %d", is.Layout, is.Schedulers,
					is.StalledCount)
			}
			if is.IndexedWithoutHash != 0 || want.IndexedWithoutHash != 1 ||
				!after.At.Equal(before.At) || !after.ReadAt.After(before.ReadAt) ||
				was.Counts.Delayed == is.Counts.Delayed {
				t.Errorf("orphans %d (a survey finds %d), begun at %v, read at %v",
					is.IndexedWithoutHash, want.IndexedWithoutHash, after.At, after.ReadAt)
			}
		})
	}
}
