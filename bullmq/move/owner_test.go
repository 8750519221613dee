package move_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// others are the values of all keys that the queue at base did not make, and which are not
// Switchyard's own record.
func others(
	t *testing.T, c redis.UniversalClient, w *bullmqtest.Writer, base string,
) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, k := range c.Keys(t.Context(), "*").Val() {
		if w.Maker[k] == base || strings.HasPrefix(k, "switchyard:") ||
			strings.HasPrefix(k, "fenced:") || slices.Contains(made, strings.TrimPrefix(k, base)) {
			continue
		}
		out[k] = c.Dump(t.Context(), k).Val()
	}
	return out
}

// made are parts of a queue that a move may make where there were none.
var made = []string{"meta", "id", "events", "marker", "wait", "delayed", "failed",
	"waiting-children", "repeat", "pc"}

func queueAt(base string) bullmq.Queue {
	return bullmq.ParseQueue(strings.TrimSuffix(base, ":"))
}

// hostile fills two servers: every queue of a hostile name on both, with other jobs, except
// base, which is on the first one only.
func hostile(t *testing.T, src, dst redis.UniversalClient, base string) (
	from, to *bullmqtest.Writer,
) {
	t.Helper()
	from, to = bullmqtest.NewWriter(src), bullmqtest.NewWriter(dst)
	for n, w := range []*bullmqtest.Writer{from, to} {
		for _, name := range bullmqtest.HostileNames {
			if n == 1 && name == base {
				continue
			}
			w.Queue(t, name)
			for _, id := range []string{"1", "7", "a:b:c", "priority:8"} {
				w.Job(t, name, "wait", id)
			}
			w.Job(t, name, "failed", "dead")
			w.Flow(t, name, "parent")
		}
	}
	from.Others(t, base)
	to.Put(t, "an application", "cart:0:id", "SET", 7)
	return from, to
}

func TestAMoveThereAndBackTouchesNoOtherKey(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t).Client(), redistest.Start(t).Client()
	for n, base := range bullmqtest.HostileNames {
		if testing.Short() && n%4 != 0 {
			continue
		}
		redistest.Empty(t, src)
		redistest.Empty(t, dst)
		from, to := hostile(t, src, dst, base)
		q, before, there := queueAt(base), others(t, src, from, base), others(t, dst, to, base)
		unchanged := func(when string) {
			t.Helper()
			if d := difference(others(t, src, from, base), before); d != "no difference" {
				t.Fatalf("%s %s: on the source %s", q, when, d)
			}
			now := others(t, dst, to, base)
			maps.DeleteFunc(now, func(k, _ string) bool { return from.Maker[k] == base })
			if d := difference(now, there); d != "no difference" {
				t.Fatalf("%s %s: on the target %s", q, when, d)
			}
		}
		was, err := bullmq.Census(t.Context(), src, q)
		if err != nil {
			t.Fatal(err)
		}
		o := move.Options{Run: "r1", Queues: []bullmq.Queue{q}}
		if _, err := move.Move(t.Context(), src, dst, o); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		unchanged("moved")
		for k, maker := range from.Maker {
			is := dst.Exists(t.Context(), k).Val() == 1
			_, also := to.Maker[k]
			if !also && is != (maker == base && moves(strings.TrimPrefix(k, base))) {
				t.Errorf("%s: %s of %s is on the target: %v", q, k, maker, is)
			}
		}
		from.Job(t, base, "wait", "late")
		if _, err := move.Sweep(t.Context(), src, dst, o); err != nil &&
			!strings.Contains(err.Error(), "schedulers") {
			t.Fatalf("%s: %v", q, err)
		}
		unchanged("swept")
		back := move.Options{Run: "r2", Replaces: "r1", Queues: o.Queues}
		if _, err := move.Move(t.Context(), dst, src, back); err != nil {
			t.Fatalf("%s: back: %v", q, err)
		}
		unchanged("moved back")
		if is, err := bullmq.Census(t.Context(), src, q); err != nil ||
			is.Pending() != was.Pending()+1 {
			t.Errorf("%s: %d jobs are back, want %d: %v", q, is.Pending(), was.Pending()+1, err)
		}
	}
}

// moves reports whether a part of a queue is one that its move takes along.
func moves(part string) bool {
	switch part {
	case "stalled-check", "limiter", "active":
		return part == "limiter"
	}
	return true
}

// A move that is taken back before its end leaves both servers as they were.
func TestAMoveThatIsTakenBackTouchesNoOtherKey(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Start(t).Client(), redistest.Start(t).Client()
	base := "bull:orders:"
	from, to := hostile(t, src, dst, base)
	before, there := others(t, src, from, base), others(t, dst, to, base)
	o := move.Options{Run: "r1", Queues: []bullmq.Queue{queueAt(base)}}
	ctx, giveUp := context.WithCancel(t.Context())
	o.Ready = func(move.Prediction) bool { // asked after the copy
		giveUp()
		return false
	}
	if _, err := move.Move(ctx, src, dst, o); err == nil || ctx.Err() == nil {
		t.Fatalf("%v, and the move was given up: %v", err, ctx.Err())
	}
	if err := move.Back(t.Context(), src, dst, o); err != nil {
		t.Fatal(err)
	}
	if d := difference(others(t, src, from, base), before); d != "no difference" {
		t.Error(d)
	}
	if d := difference(others(t, dst, to, base), there); d != "no difference" {
		t.Error(d)
	}
}

func TestAMoveOfWhatBullMQDidNotMakeIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, want string
		q          bullmq.Queue
		set        func(*testing.T, *bullmqtest.Writer)
	}{
		{"an app's counter", "nothing proves that BullMQ made cart:0",
			bullmq.Queue{Prefix: "cart", Name: "0"}, nil},
		{"a queue of Bull", "is a queue of Bull", bullmq.Queue{Name: "old"}, nil},
		{"a queue of bee-queue", "is a queue of bee-queue",
			bullmq.Queue{Prefix: "bq", Name: "mail"}, nil},
		{"a list that is none", "bull:orders:delayed is a string, not a zset",
			bullmq.Queue{Name: "orders"}, func(t *testing.T, w *bullmqtest.Writer) {
				w.C.Del(t.Context(), "bull:orders:delayed")
				w.C.Set(t.Context(), "bull:orders:delayed", "x", 0)
			}},
		{"a job that two queues list", "whose 1 keys are cannot be told",
			bullmq.Queue{Name: "orders"}, func(t *testing.T, w *bullmqtest.Writer) {
				w.Queue(t, "bull:orders:priority:")
				w.Job(t, "bull:orders:", "wait", "priority:7")
				w.C.LPush(t.Context(), "bull:orders:priority:wait", "7")
			}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			src, dst := redistest.Start(t).Client(), redistest.Start(t).Client()
			w := bullmqtest.NewWriter(src)
			w.Queue(t, "bull:orders:")
			w.Others(t, "bull:orders:")
			if c.set != nil {
				c.set(t, w)
			}
			before := others(t, src, w, "")
			_, err := move.Move(t.Context(), src, dst,
				move.Options{Run: "r1", Queues: []bullmq.Queue{c.q}})
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "nothing was changed") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if d := difference(others(t, src, w, ""), before); d != "no difference" {
				t.Error(d)
			}
			if n := dst.DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("%d keys on the target", n)
			}
		})
	}
}

func TestWhatAMoveWouldTouchIsListed(t *testing.T) {
	t.Parallel()
	c := redistest.Start(t).Client()
	w := bullmqtest.NewWriter(c)
	for _, base := range []string{"bull:orders:", "bull:orders:priority:"} {
		w.Queue(t, base)
		w.Job(t, base, "wait", "7")
		w.Others(t, base)
	}
	own, err := bullmq.Look(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	groups, lists, err := move.List(t.Context(), c, own, own.BullMQ())
	if err != nil || fmt.Sprint(groups) != "[[orders] [bull:orders:priority]]" {
		t.Fatalf("%v %v", groups, err)
	}
	for _, l := range lists {
		base, keys := l.Queue.Key(""), int64(0)
		for _, maker := range w.Maker {
			if maker == base {
				keys++
			}
		}
		if l.Jobs != 2 || l.Jobs+l.Parts+l.Own != keys || l.Alone != 7 ||
			!slices.Contains(l.AloneKeys, base+"lastSeen") {
			t.Errorf("%+v, want %d keys", l, keys)
		}
	}
}
