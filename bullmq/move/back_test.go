package move_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestBackLeavesTheSourceAsItWasWithWhatWasAddedMeanwhile(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Populate(t, p.src, "orders")
	p.o.Queues = append(p.o.Queues, bullmq.Queue{Name: "orders-children"})
	v6.Run(t, p.src, "orders", "call", `{"method":"removeJobScheduler","args":["tick"]}`)
	before := contents(t, p.from)
	// The last step on the target keeps failing: the source is fenced, and stays
	// so.
	fault := &redistest.Fault{}
	p.to.AddHook(fault)
	p.o.Progress = func(pr move.Progress) {
		if pr.Phase == "activate" {
			fault.Arm(1, redistest.Before)
		}
	}
	if _, err := move.Move(t.Context(), p.from, p.to, p.o); err == nil {
		t.Fatal("the fault was not met")
	}
	if n := p.from.Exists(t.Context(), "bull:orders:wait").Val(); n != 0 {
		t.Fatal("the source is not fenced")
	}
	late := v6.Add(t, p.src, "orders", job("late", nil))
	for range 2 { // the second time there is nothing left to do
		if err := move.Back(t.Context(), p.from, p.to, p.o); err != nil {
			t.Fatal(err)
		}
	}
	p.from.LRem(t.Context(), "bull:orders:wait", 1, late[0])
	p.from.Del(t.Context(), "bull:orders:"+late[0])
	p.from.Set(t.Context(), "bull:orders:id", before["bull:orders:id"], 0)
	p.from.Set(t.Context(), "bull:orders-children:id", before["bull:orders-children:id"], 0)
	if d := difference(contents(t, p.from), before); d != "no difference" {
		t.Error(d)
	}
}

func TestAfterTheActivationTheWayBackIsAMoveInTheOtherDirection(t *testing.T) {
	t.Parallel()
	p := start(t)
	ids := v6.Add(t, p.src, "orders", job("a", map[string]any{"removeOnComplete": true}),
		job("b", nil), job("c", map[string]any{"delay": 1000}))
	p.move(t)
	if err := move.Back(t.Context(), p.from, p.to, p.o); err == nil ||
		!strings.Contains(err.Error(), "other direction") {
		t.Fatalf("took back an activated move: %v", err)
	}
	w := v6.Work(t, p.dst, "orders", "LIMIT=1")
	if got := keysOf(t, w, 1); got[0] != "a" {
		t.Fatalf("ran %v", got)
	}
	w.Stop()
	back := move.Options{Run: "r2", Queues: p.o.Queues}
	if _, err := move.Move(t.Context(), p.to, p.from, back); err == nil ||
		!strings.Contains(err.Error(), "belong to no listed job") {
		t.Fatalf("moved over copies that nobody said are out of date: %v", err)
	}
	back.Replaces = "r1"
	if _, err := move.Move(t.Context(), p.to, p.from, back); err != nil {
		t.Fatal(err)
	}
	if p.from.Exists(t.Context(), "bull:orders:"+ids[0]).Val() != 0 {
		t.Error("the job that ran on the target came back")
	}
	again := v6.Work(t, p.src, "orders")
	ran := drain(w) // the limited worker may have run one more
	ran = append(ran, keysOf(t, again, 2-len(ran))...)
	slices.Sort(ran)
	if !slices.Equal(ran, []string{"b", "c"}) {
		t.Errorf("ran %v after the way back", ran)
	}
	again.ExpectNone(t)
}
