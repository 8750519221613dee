package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

var ordersQueue = bullmq.Queue{Prefix: "bull", Name: "orders"}

// commands are given to a server, one a line.
func commands(t *testing.T, c redis.UniversalClient, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var args []any
		for _, word := range strings.Fields(line) {
			args = append(args, word)
		}
		if err := c.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// user is a client of an account that may do all but some commands.
func user(t *testing.T, s *redistest.Server, without ...string) redis.UniversalClient {
	t.Helper()
	rules := []any{"ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all"}
	for _, w := range without {
		rules = append(rules, "-"+w)
	}
	if err := s.Client().Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "limited", Password: "pw",
		DisableIdentity: true, Protocol: 2, MaxRetries: -1, ReadTimeout: 10 * time.Second})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const threeEntries = `XADD bull:orders:events 1000-1 event added jobId 1 name order
XADD bull:orders:events 1000-2 event waiting jobId 1
XADD bull:orders:events 2000-0 event active jobId 1 prev waiting
`

func at(ms, seq int64) ledger.Position { return ledger.Position{MS: ms, Seq: seq} }

func TestALaneIsReadAsItsServerHasIt(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	lists := ""
	for i, list := range []string{"wait", "paused", "active"} {
		for n := range 1 << i {
			lists += fmt.Sprintf("RPUSH bull:orders:%s j%d\n", list, n)
		}
	}
	for i, set := range []string{"delayed", "prioritized", "waiting-children"} {
		for n := range 8 << i {
			lists += fmt.Sprintf("ZADD bull:orders:%s 1 j%d\n", set, n)
		}
	}
	for _, tc := range []struct {
		rule  string
		setup string
		after ledger.Position
		page  int64
		want  ledger.Reading // without its entries
		jobs  string         // of the entries, each with its event
		at    string         // of the entry at the cursor
	}{
		{rule: "nothing is there", page: 5, want: ledger.Reading{End: true}},
		{rule: "jobs are counted in every list", setup: lists, page: 5,
			want: ledger.Reading{End: true, Jobs: 63, Listed: 7, Waits: 19}},
		{rule: "the job next in line", setup: "RPUSH bull:orders:wait j2 j1", page: 5,
			want: ledger.Reading{End: true, Jobs: 2, Listed: 2, Waits: 2, Next: "j1"}},
		{rule: "an old marker at the head is no job", page: 5, setup: `RPUSH bull:orders:wait 0:5
RPUSH bull:orders:wait 1`,
			want: ledger.Reading{End: true, Jobs: 1, Listed: 2, Waits: 1, Next: "1"}},
		{rule: "an old marker at the tail is no job", page: 5, setup: `RPUSH bull:orders:wait 1
RPUSH bull:orders:wait 0:5`, want: ledger.Reading{End: true, Jobs: 1, Listed: 2, Waits: 1}},
		{rule: "an old marker alone is no job", page: 5, setup: `RPUSH bull:orders:wait 0:5`,
			want: ledger.Reading{End: true, Jobs: 0, Listed: 1}},
		{rule: "the id counter", page: 5, setup: "SET bull:orders:id 41",
			want: ledger.Reading{End: true, Adds: 41}},
		{rule: "entries from the beginning", page: 5, setup: threeEntries,
			want: ledger.Reading{End: true, Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			jobs: "added 1 waiting 1 active 1"},
		{rule: "a page that is just filled does not tell that it is the last", page: 3,
			setup: threeEntries,
			want:  ledger.Reading{Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			jobs:  "added 1 waiting 1 active 1"},
		{rule: "a page of two", page: 2, setup: threeEntries,
			want: ledger.Reading{Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			jobs: "added 1 waiting 1"},
		{rule: "after an entry, which is given too", page: 2, after: at(1000, 2),
			setup: threeEntries,
			want:  ledger.Reading{End: true, Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			jobs:  "active 1", at: "waiting"},
		{rule: "after an entry that is not there", page: 2, after: at(1500, 0),
			setup: threeEntries,
			want:  ledger.Reading{End: true, Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			jobs:  "active 1"},
		{rule: "after the last", page: 2, after: at(2000, 0), setup: threeEntries,
			want: ledger.Reading{End: true, Added: 3, First: at(1000, 1), Last: at(2000, 0)},
			at:   "active"},
		{rule: "a trimmed stream", page: 5, setup: threeEntries + "XTRIM bull:orders:events MAXLEN 1",
			want: ledger.Reading{End: true, Added: 3, First: at(2000, 0), Last: at(2000, 0)},
			jobs: "active 1"},
		{rule: "a stream that was emptied", page: 5,
			setup: threeEntries + "XTRIM bull:orders:events MAXLEN 0",
			want:  ledger.Reading{End: true, Added: 3, Last: at(2000, 0)}},
		{rule: "a stream that nobody has written to", page: 5,
			setup: "XGROUP CREATE bull:orders:events g $ MKSTREAM", want: ledger.Reading{End: true}},
	} {
		commands(t, c, "FLUSHALL\n"+tc.setup)
		before := time.Now()
		r, err := ledger.ReadLane(t.Context(), c, ordersQueue, tc.after, tc.page)
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		var jobs []string
		for _, e := range r.Entries {
			jobs = append(jobs, e.Event+" "+e.Job)
		}
		cursor := ""
		if r.Cursor != nil {
			cursor = r.Cursor.Event
		}
		if r.At < before.Add(-time.Minute).UnixMilli() || r.Server == "" {
			t.Errorf("%s: its time is %d, its run id %q", tc.rule, r.At, r.Server)
		}
		r.Entries, r.Cursor, r.At, r.Server = nil, nil, 0, ""
		if got, want := fmt.Sprintf("%+v", r), fmt.Sprintf("%+v", tc.want); got != want ||
			strings.Join(jobs, " ") != tc.jobs || cursor != tc.at {
			t.Errorf("%s:\n got %s %q, at %q\nwant %s %q, at %q", tc.rule, got, jobs, cursor, want,
				tc.jobs, tc.at)
		}
	}
}

// What cannot be read is an error that names the queue, never a number.
func TestALaneThatIsNotOneOfBullMQIsNotRead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	for setup, want := range map[string]string{
		"HSET bull:orders:id a 1":             "its id counter",
		"SET bull:orders:id many":             "its id counter",
		"SET bull:orders:events x":            "orders",
		"XADD bull:orders:events 1-1 jobId 1": "has no event",
		"SET bull:orders:wait x":              "orders",
		"SET bull:orders:paused x":            "orders",
		"SET bull:orders:active x":            "orders",
		"SET bull:orders:delayed x":           "orders",
		"SET bull:orders:prioritized x":       "orders",
		"SET bull:orders:waiting-children x":  "orders",
	} {
		commands(t, c, "FLUSHALL\n"+setup)
		r, err := ledger.ReadLane(t.Context(), c, ordersQueue, ledger.Position{}, 5)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", setup, r, err)
		}
	}
	commands(t, c, "FLUSHALL\n"+threeEntries)
	for _, denied := range []string{"time", "xinfo", "xrange", "get", "exec"} {
		if r, err := ledger.ReadLane(t.Context(), user(t, s, denied), ordersQueue,
			ledger.Position{}, 5); err == nil || denied != "exec" &&
			!strings.Contains(err.Error(), denied) {
			t.Errorf("without %s: %+v, %v", denied, r, err)
		}
	}
	r, err := ledger.ReadLane(t.Context(), user(t, s, "info"), ordersQueue, ledger.Position{}, 5)
	if err != nil || r.Server != "" || len(r.Entries) != 3 {
		t.Errorf("a server that does not tell its run id: %+v, %v", r, err)
	}
	s.Kill()
	if r, err := ledger.ReadLane(t.Context(), c, ordersQueue, ledger.Position{}, 5); err == nil {
		t.Errorf("a server that is gone: %+v", r)
	}
}

func TestAJobIsLookedUpWhereverItMayBe(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	setup, want, jobs := threeEntries, map[string]ledger.Look{}, []string{}
	for _, list := range []string{"wait", "active", "paused"} {
		setup += fmt.Sprintf("RPUSH bull:orders:%s in-%s other\nHSET bull:orders:in-%s name o\n", list,
			list, list)
		want["in-"+list] = ledger.Look{Hash: true, State: list, End: at(2000, 0)}
	}
	for _, set := range []string{"delayed", "prioritized", "waiting-children", "completed", "failed"} {
		setup += fmt.Sprintf("ZADD bull:orders:%s 1 in-%s\n", set, set)
		want["in-"+set] = ledger.Look{State: set, End: at(2000, 0)}
	}
	for i := range 20 { // more than one look
		want[fmt.Sprint("gone-", i)] = ledger.Look{End: at(2000, 0)}
	}
	want["data"] = ledger.Look{Hash: true, End: at(2000, 0)}
	commands(t, c, setup+"HSET bull:orders:data name o\n")
	for id := range want {
		jobs = append(jobs, id)
	}
	slices.Sort(jobs)
	got, err := ledger.LookAt(t.Context(), c, ordersQueue, jobs)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d looks, %v", len(got), err)
	}
	for id, look := range want {
		if got[id] != look {
			t.Errorf("%s: %+v, want %+v", id, got[id], look)
		}
	}
	for _, denied := range []string{"exists", "lpos", "zscore", "xinfo"} {
		if got, err := ledger.LookAt(t.Context(), user(t, s, denied), ordersQueue,
			[]string{"data"}); err == nil || !strings.Contains(err.Error(), denied) {
			t.Errorf("without %s: %+v, %v", denied, got, err)
		}
	}
	for _, key := range []string{"wait", "failed"} {
		commands(t, c, "FLUSHALL\nSET bull:orders:"+key+" x")
		if got, err := ledger.LookAt(t.Context(), c, ordersQueue, []string{"data"}); err == nil ||
			!strings.Contains(err.Error(), "data in "+key) {
			t.Errorf("%s is no list: %+v, %v", key, got, err)
		}
	}
	commands(t, c, "FLUSHALL\nSET bull:orders:events x")
	if got, err := ledger.LookAt(t.Context(), c, ordersQueue, []string{"data"}); err == nil {
		t.Errorf("its events are no stream: %+v", got)
	}
	commands(t, c, "FLUSHALL")
	if got, err := ledger.LookAt(t.Context(), c, ordersQueue, []string{"data"}); err != nil ||
		got["data"] != (ledger.Look{}) {
		t.Errorf("without a stream: %+v, %v", got, err)
	}
	s.Kill()
	if got, err := ledger.LookAt(t.Context(), c, ordersQueue, []string{"data"}); err == nil {
		t.Errorf("a server that is gone: %+v", got)
	}
}

func TestAServerIsAskedWhichJobsItsSchedulersMade(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	commands(t, c, `HSET bull:orders:repeat:a:1 rjk a
HSET bull:orders:repeat:b:1 opts {"attempts":3,"repeat":{"every":5}}
HSET bull:orders:repeat:c:1 opts {"attempts":3}
ZADD bull:orders:repeat 1 d`)
	ids := []string{"repeat:a:1", "repeat:b:1", "repeat:c:1", "repeat:d:1", "repeat:e:1"}
	got, err := ledger.AskScheduled(t.Context(), c, ordersQueue, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, true, false} {
		if yes, known := got[ids[i]]; yes != want || !known {
			t.Errorf("%s: %v, %v", ids[i], yes, known)
		}
	}
	for _, denied := range []string{"hmget", "zscore"} {
		if got, err := ledger.AskScheduled(t.Context(), user(t, s, denied), ordersQueue,
			ids[3:4]); err == nil {
			t.Errorf("without %s: %v", denied, got)
		}
	}
	s.Kill()
	if got, err := ledger.AskScheduled(t.Context(), c, ordersQueue, ids[:1]); err == nil {
		t.Errorf("a server that is gone: %v", got)
	}
}

// hasty is a clock of ours by which three seconds go by between any two looks at it.
func hasty() func() int64 {
	var mu sync.Mutex
	now := time.Now().UnixMilli()
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		now += 3000
		return now
	}
}

// A lane is followed to its end and beyond, and what has been open for long is looked up.
func TestALaneIsFollowedAndItsOldJobsAreLookedUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	p := c.Pipeline()
	const n = 5001 // more than a page
	for i := range n {
		p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events",
			ID: fmt.Sprint("1000-", i), Values: []string{"event", "resumed"}})
	}
	p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events", ID: "2000-0",
		Values: []string{"event", "added", "jobId", "lost"}})
	p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events", ID: "2000-1",
		Values: []string{"event", "added", "jobId", "repeat:tick:1"}})
	p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events", ID: "2000-2",
		Values: []string{"event", "added", "jobId", "repeat:tock:1"}})
	p.XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:orders:events", ID: "2000-3",
		Values: []string{"event", "added", "jobId", "last"}})
	p.HSet(t.Context(), "bull:orders:repeat:tick:1", "rjk", "tick")
	p.HSet(t.Context(), "bull:orders:repeat:tock:1", "rjk", "tock")
	p.RPush(t.Context(), "bull:orders:wait", "repeat:tick:1", "repeat:tock:1")
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, db := ledger.NewStreams(ledger.Options{}), newRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	at := lane(ledger.Source, false)
	ended := make(chan error, 1)
	go func() { ended <- l.Follow(ctx, c, ordersQueue, at, hasty()) }()
	await := func(what string, is func() bool) {
		t.Helper()
		redistest.Eventually(t, 30*time.Second, func() error {
			if db.save(l.Changes()); !is() {
				return fmt.Errorf("not %s: %+v, %+v", what, db.cursors[at], db.lives)
			}
			return nil
		})
	}
	await("read to its end", func() bool { return db.cursors[at].Entries == n+4 })
	await("looked up", func() bool {
		lost, last := db.lives[[2]string{queueName, "lost"}], db.lives[[2]string{queueName, "last"}]
		return lost.Stays[0] != nil && lost.Stays[0].Missing != nil && last.Stays[0].Missing != nil
	})
	await("asked", func() bool {
		tick, tock := db.lives[[2]string{queueName, "repeat:tick:1"}],
			db.lives[[2]string{queueName, "repeat:tock:1"}]
		return tick.Scheduled && tock.Scheduled && tick.Stays[0].Missing == nil
	})
	commands(t, c, "XADD bull:orders:events 3000-0 event resumed")
	await("read on", func() bool { return db.cursors[at].Entries == n+5 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended by %v", err)
	}
}

func TestFollowingALaneEndsWithTheFirstErrorOfAnyKind(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	commands(t, s.Client(), "XADD bull:orders:events 1000-0 event added jobId lost\n"+
		"XADD bull:orders:events 1000-1 event added jobId repeat:tick:1")
	for _, denied := range []string{"xinfo", "lpos", "hmget", "xread"} {
		c := user(t, s, denied)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := ledger.NewStreams(ledger.Options{}).Follow(ctx, c, ordersQueue,
			lane(ledger.Source, false), hasty())
		if cancel(); err == nil || !strings.Contains(err.Error(), denied) {
			t.Errorf("without %s it ended by %v", denied, err)
		}
	}
}
