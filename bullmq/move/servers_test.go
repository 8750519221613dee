package move_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func TestMovesOverTLSToAServerThatDeniesWhatManagedOnesDo(t *testing.T) {
	t.Parallel()
	p := start(t, redistest.TLS(), redistest.Password("secret"))
	if err := p.to.Do(t.Context(), "ACL", "SETUSER", "default", "-config", "-replicaof",
		"-slaveof", "-client|pause", "-client|kill", "-debug", "-object", "-slowlog",
		"-migrate").Err(); err != nil {
		t.Fatal(err)
	}
	want := v6.Populate(t, p.src, "orders")
	p.o.Queues = append(p.o.Queues, bullmq.Queue{Name: "orders-children"})
	r := p.move(t)
	var moved int64
	for where, n := range r.Jobs {
		if !strings.HasSuffix(where, "completed") && !strings.HasSuffix(where, " failed") {
			moved += n
		}
	}
	if moved < int64(len(want.Jobs)) {
		t.Errorf("%d of %d jobs moved: %v", moved, len(want.Jobs), r.Jobs)
	}
}

func TestMovesFromASentinelMasterWhoseReplicaKnowsTheFence(t *testing.T) {
	t.Parallel()
	d := redistest.StartSentinel(t, 1)
	d.AwaitHealthy(30 * time.Second)
	dst := redistest.Start(t)
	from := d.Client()
	q := bullmq.Queue{Name: "orders"}
	for i := range 20 {
		id := fmt.Sprint("j", i)
		from.HSet(t.Context(), q.Key(id), "name", "order", "data", fmt.Sprintf(`{"k":"%s"}`,
			id), "opts", "{}", "timestamp", "1", "delay", "0", "priority", "0")
		from.LPush(t.Context(), q.Key("wait"), id)
	}
	from.HSet(t.Context(), q.Key("meta"), "version", "bullmq:6.7.0")
	o := move.Options{Run: "r1", Queues: []bullmq.Queue{q}}
	if _, err := move.Move(t.Context(), from, dst.Client(), o); err != nil {
		t.Fatal(err)
	}
	if got := keysOf(t, v6.Work(t, dst, "orders"), 20); got[0] != "j0" {
		t.Errorf("ran %v", got)
	}
}

// When nobody can report changes, everything travels while the queue stands still.
func TestMovesWithoutKnowingWhatChanged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *pair){
		"the source denies CLIENT TRACKING": func(t *testing.T, p *pair) {
			if err := p.from.Do(t.Context(), "ACL", "SETUSER", "default",
				"-client|tracking").Err(); err != nil {
				t.Fatal(err)
			}
		},
		"the connection that follows the keys is cut before the fence": func(t *testing.T,
			p *pair) {
			p.o.Progress = func(pr move.Progress) {
				if pr.Phase != "fence" {
					return
				}
				for line := range strings.Lines(p.from.ClientList(t.Context()).Val()) {
					if id, flags := field(line, "id"), field(line,
						"flags"); strings.Contains(flags, "t") {
						if err := p.from.Do(t.Context(), "CLIENT", "KILL", "ID",
							id).Err(); err != nil {
							t.Error(err)
						}
					}
				}
				p.from.HSet(t.Context(), p.q.Key("a"), "data", `{"k":"changed"}`)
				p.from.LRem(t.Context(), p.q.Key("wait"), 0, "b")
				p.from.Del(t.Context(), p.q.Key("b"))
			}
		},
	} {
		p := start(t)
		v6.Add(t, p.src, "orders", job("a", map[string]any{"jobId": "a"}),
			job("b", map[string]any{"jobId": "b"}), job("c", map[string]any{"jobId": "c"}))
		spoil(t, p)
		r := p.move(t)
		if r.Changed < 2 {
			t.Errorf("%s: only %d keys travelled at the stand", name, r.Changed)
		}
		want := []string{"a", "b", "c"}
		if p.o.Progress != nil {
			want = []string{"changed", "c"}
			if p.to.Exists(t.Context(), p.q.Key("b")).Val() != 0 {
				t.Errorf("%s: a removed job is on the target", name)
			}
		}
		if got := keysOf(t, v6.Work(t, p.dst, "orders", "CONCURRENCY=1"),
			len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: ran %v, want %v", name, got, want)
		}
	}
}

func TestGroupsAreQueuesTiedByFlows(t *testing.T) {
	t.Parallel()
	p := start(t)
	v6.Populate(t, p.src, "orders")
	v6.Populate(t, p.src, "mail")
	v6.Add(t, p.src, "alone", job("a", nil))
	own, err := bullmq.Look(t.Context(), p.from)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := move.List(t.Context(), p.from, own, own.BullMQ())
	if want := "[[alone] [mail-children mail] [orders-children orders]]"; err != nil ||
		fmt.Sprint(got) != want {
		t.Errorf("%v %v, want %s", got, err, want)
	}
}
