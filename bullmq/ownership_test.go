package bullmq_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

func look(t *testing.T, c redis.UniversalClient) bullmq.Ownership {
	t.Helper()
	o, err := bullmq.Look(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOneKeyOfTheRightNameIsNoQueue(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	w := bullmqtest.NewWriter(c)
	for i := range 200 {
		w.Put(t, "app", fmt.Sprintf("user:%d:meta", i), "HSET", "name", "ada")
		w.Put(t, "app", fmt.Sprintf("cart:%d:id", i), "SET", i)
	}
	bullmqtest.Major(6).Add(t, s, "orders", bullmqtest.Plain("a", 1)...)
	if got := fmt.Sprint(look(t, c).Queues()); got != "[orders]" {
		t.Errorf("found %s", got)
	}
}

func TestQueuesOfOtherLibrariesAreNamedAsSuch(t *testing.T) {
	t.Parallel()
	c := redistest.Start(t).Client()
	w := bullmqtest.NewWriter(c)
	w.Others(t, "bull:orders:")
	o := look(t, c)
	if got := fmt.Sprint(o.Queues()); got != "[bq:mail (bee-queue) old (Bull)]" {
		t.Errorf("found %s", got)
	}
	if len(o.BullMQ()) != 0 {
		t.Errorf("%v count as BullMQ's", o.BullMQ())
	}
	c.HSet(t.Context(), "bull:pro:meta", "version", "bullmq-pro:7.1.0")
	if f, _ := look(t, c).Find(bullmq.Queue{Name: "pro"}); f.Kind != bullmq.KindPro {
		t.Errorf("a queue of BullMQ Pro is %q", f.Kind)
	}
}

// judged fails unless every key is whose the writer says. Of keys that nobody owns, none
// may count as a queue's.
func judged(t *testing.T, w *bullmqtest.Writer, o bullmq.Ownership, world string) {
	t.Helper()
	all, err := o.Whose(t.Context(), w.C, slices.Sorted(maps.Keys(w.Maker)))
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range all {
		want, got := w.Maker[is.Key], "an application"
		switch {
		case is.Owned():
			got = is.Owner.Queue.Key("")
		case is.Owner.Kind != "":
			got = string(is.Owner.Kind)
		}
		if got != want {
			t.Errorf("%s: %s is of %s, want %s (%s)", world, is.Key, got, want, is.Why)
		}
	}
}

func TestEveryKeyIsItsMakersUnderHostileNames(t *testing.T) {
	t.Parallel()
	w := bullmqtest.NewWriter(redistest.Start(t).Client())
	for _, base := range bullmqtest.HostileNames {
		w.Queue(t, base)
		for _, id := range []string{"1", "7", "a:b:c", "priority:8", "logs", "failed_1"} {
			w.Job(t, base, "wait", id)
		}
		w.Job(t, base, "failed", "dead")
		w.Flow(t, base, "parent")
	}
	w.Others(t, "bull:orders:")
	judged(t, w, look(t, w.C), "hostile names")
}

// Real BullMQ of every version makes every kind of key that it knows.
func TestEveryKeyOfRealBullMQIsItsQueues(t *testing.T) {
	for _, major := range []bullmqtest.Major{3, 4, 5, 6} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			major.Populate(t, s, "orders")
			c := s.Client()
			o := look(t, c)
			all, err := o.Whose(t.Context(), c, c.Keys(t.Context(), "*").Val())
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range all {
				if !w.Owned() && !w.Gone ||
					!strings.HasPrefix(w.Key, w.Owner.Queue.Key("")) {
					t.Errorf("%s: %+v", w.Key, w)
				}
			}
		})
	}
}

// "orders" with its job "priority:7", and "orders:priority" with its job "7": BullMQ itself
// keeps both in one key.
func TestAJobThatTwoQueuesListIsNeithers(t *testing.T) {
	t.Parallel()
	w := bullmqtest.NewWriter(redistest.Start(t).Client())
	outer, inner := "bull:orders:", "bull:orders:priority:"
	w.Queue(t, outer)
	w.Queue(t, inner)
	w.Job(t, outer, "wait", "priority:7")
	w.C.LPush(t.Context(), inner+"wait", "7")
	o := look(t, w.C)
	is, err := o.Whose(t.Context(), w.C, []string{inner + "7"})
	if err != nil || is[0].Owned() || !is[0].Contested || is[0].Why == "" {
		t.Errorf("%+v, %v", is, err)
	}
	if _, _, ok := o.Of(inner + "7"); ok {
		t.Error("by its name it is somebody's")
	}
	for _, base := range []string{outer, inner} {
		q := bullmq.ParseQueue(strings.TrimSuffix(base, ":"))
		if got := o.Contested(q); !slices.Equal(got, []string{inner + "7"}) {
			t.Errorf("contested in %s: %v", q, got)
		}
	}
}

// Random worlds of queues whose names and ids are made of few parts, so that they meet.
func TestOwnershipIsExactInRandomWorlds(t *testing.T) {
	t.Parallel()
	c := redistest.Start(t).Client()
	worlds := 60
	if testing.Short() {
		worlds = 10
	}
	names := []string{"a", "b", "1", "meta", "wait", "repeat", "de", "failed", "logs", "é*", "{x}", ""}
	for seed := range worlds {
		redistest.Empty(t, c)
		r := rand.New(rand.NewPCG(uint64(seed), 16))
		some := func(n int) string {
			var p []string
			for range 1 + r.IntN(n) {
				p = append(p, names[r.IntN(len(names))])
			}
			return strings.Join(p, ":")
		}
		w := bullmqtest.NewWriter(c)
		var bases []string
		for range 2 + r.IntN(6) {
			name := some(3)
			if strings.Trim(name, ":") == "" || strings.HasPrefix(name, ":") {
				continue
			}
			bases = append(bases, "bull:"+name+":")
			w.Queue(t, bases[len(bases)-1])
		}
		for _, base := range bases {
			for range r.IntN(12) {
				id := some(3)
				if r.IntN(3) == 0 {
					id = fmt.Sprint(r.IntN(9))
				}
				if id == "" || strings.HasPrefix(id, "0:") || !bullmq.IsJob(id) {
					continue // which BullMQ itself would not survive
				}
				w.Job(t, base, []string{"wait", "delayed", "completed"}[r.IntN(3)], id)
			}
			w.Others(t, base)
		}
		judged(t, w, look(t, c), fmt.Sprint("world ", seed))
	}
}

func TestAQueueIsReadAsItIsPrinted(t *testing.T) {
	t.Parallel()
	for _, base := range append(slices.Clone(bullmqtest.HostileNames), "a:b:") {
		prefix, name, _ := strings.Cut(strings.TrimSuffix(base, ":"), ":")
		q := bullmq.Queue{Prefix: prefix, Name: name}
		if is := bullmq.ParseQueue(q.String()); !is.Same(q) || q.Key("") != base {
			t.Errorf("%q is printed as %q and read as %q", base, q, is.Key(""))
		}
	}
}
