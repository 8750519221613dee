package redisconn_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestTrackingTellsEveryAcknowledgedChange(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, ctx := s.Client(), t.Context()
	tr, err := redisconn.Track(ctx, c, "bull:orders:", "bull:mail:")
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for round := range 20 {
		var want []string
		for i := range 500 {
			want = append(want, fmt.Sprintf("bull:orders:%d_%d", round, i))
		}
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range want {
				p.HSet(ctx, k, "a", 1)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Set(ctx, "bull:ordersX:a", 1, 0)
		// A script's writes, and a deletion, count as well.
		if err := c.Eval(ctx,
			`redis.call('LPUSH', 'bull:mail:wait', 1) redis.call('DEL', KEYS[1]) return 1`,
			[]string{want[0]}).Err(); err != nil {
			t.Fatal(err)
		}
		want = append(want, "bull:mail:wait")
		got, err := tr.Changed(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %d changed keys, want %d", round, len(got), len(want))
		}
	}
	if got, err := tr.Changed(ctx); err != nil || len(got) != 0 {
		t.Errorf("nothing changed, got %v %v", got, err)
	}
}

func TestTrackingSaysThatItMissedSomething(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*testing.T, *redistest.Server)
	}{
		{"connection cut", func(t *testing.T, s *redistest.Server) {
			if err := s.Client().Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME",
				"yes").Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"server restarted", func(_ *testing.T, s *redistest.Server) { s.Kill(); s.Restart() }},
		{"server emptied", func(t *testing.T, s *redistest.Server) {
			s.Client().FlushAll(t.Context())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			tr, err := redisconn.Track(t.Context(), s.Client(), "bull:")
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			c.do(t, s)
			for range 2 { // and it stays so
				if got, err := tr.Changed(t.Context()); err == nil {
					t.Errorf("got %v", got)
				}
			}
		})
	}
}
