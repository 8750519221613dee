package move_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestRefusesWhatItCannotMoveExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		set        func(*testing.T, *pair)
		target     []redistest.Option
	}{
		{name: "target evicts", want: "maxmemory-policy is allkeys-lru",
			target: []redistest.Option{redistest.Config("maxmemory-policy allkeys-lru")}},
		{name: "target is too small", want: "MiB free",
			target: []redistest.Option{redistest.Config("maxmemory 3mb",
				"maxmemory-policy noeviction")}, set: func(t *testing.T, p *pair) {
				for i := range 5 {
					v6.Add(t, p.src, "orders", bullmqtest.Task{Name: "big",
						Data: map[string]any{"pad": strings.Repeat(fmt.Sprint(i), 400_000)}})
				}
				big := strings.Builder{}
				for i := range 300_000 {
					fmt.Fprintf(&big, "%d,", i)
				}
				v6.Add(t, p.src, "orders",
					bullmqtest.Task{Name: "big", Data: map[string]any{"pad": big.String()}})
			}},
		{name: "target holds jobs", want: "holds 1 jobs", set: func(t *testing.T, p *pair) {
			v6.Add(t, p.dst, "orders", job("there", nil))
		}},
		{name: "target holds jobs in no list",
			want: "belong to no listed job (bull:orders:lost)",
			set: func(t *testing.T, p *pair) {
				p.to.HSet(t.Context(), "bull:orders:lost", "data", "{}")
			}},
		{name: "target's app is older", want: "used by BullMQ 4.18.3",
			set: func(t *testing.T, p *pair) {
				bullmqtest.Major(4).Run(t, p.dst, "orders", "pause", "")
				p.to.HDel(t.Context(), "bull:orders:meta", "paused")
			}},
		{name: "repeatable job of the old kind", want: "legacy repeatable jobs",
			set: func(t *testing.T, p *pair) {
				bullmqtest.Major(4).Add(t, p.src, "orders",
					job("r", map[string]any{"repeat": map[string]any{"every": 3_600_000}}))
			}},
		{name: "no such queue", want: "no such queue", set: func(t *testing.T, p *pair) {
			p.o.Queues = []bullmq.Queue{{Name: "nobody"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.target...)
			v6.Add(t, p.src, "orders", job("a", nil))
			if c.set != nil {
				c.set(t, p)
			}
			before, there := contents(t, p.from), contents(t, p.to)
			_, err := move.Move(t.Context(), p.from, p.to, p.o)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "nothing was changed") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if d := difference(contents(t, p.from), before) + difference(contents(t, p.to),
				there); d != "no differenceno difference" {
				t.Errorf("something was changed: %s", d)
			}
		})
	}
}

func TestRefusesToStandStillForTooLong(t *testing.T) {
	t.Parallel()
	p := start(t)
	fillQueue(t, p.from, p.q, 20_000)
	p.o.MaxFreeze = time.Millisecond // staging 20,000 ids takes longer on any machine
	before := contents(t, p.from)
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "stop for about") {
		t.Fatalf("got %v", err)
	}
	if d := difference(contents(t, p.from), before); d != "no difference" {
		t.Error(d)
	}
}
