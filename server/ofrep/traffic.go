package ofrep

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
)

// requestKinds are what requests for flags are told apart by.
var requestKinds = [...]string{"single", "bulk", "not_modified", "error"}

const (
	kindSingle = iota
	kindBulk
	kindNotModified
	kindError
)

// latencyBounds are the buckets of the time that an answer takes, without reading and sending it.
var latencyBounds = [...]time.Duration{
	5 * time.Microsecond, 10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond, 5 * time.Millisecond,
	25 * time.Millisecond, 100 * time.Millisecond, time.Second,
}

// Traffic is what was asked for flags since the start.
type Traffic struct {
	Requests map[string]map[string]int64 // by set ("" where nobody was let in) and kind
	Limited  map[string]int64            // requests that came too soon, by id of the key
	Streams  map[string]int              // open ones, by set
	Latency  []Bucket                    // the last one has no bound
	Took     time.Duration               // all answers together
}

// Bucket counts the answers that took at most Bound, and longer than the bucket before.
type Bucket struct {
	Bound   time.Duration // 0: none
	Answers int64
}

// Traffic gives what was counted so far.
func (s *Server) Traffic() Traffic {
	t := Traffic{
		Requests: map[string]map[string]int64{}, Limited: map[string]int64{},
		Streams: s.streams.counts(), Took: time.Duration(s.traffic.nanos.Load()),
	}
	for set, kinds := range s.traffic.sets.list() {
		t.Requests[set] = map[string]int64{}
		for kind, name := range requestKinds {
			t.Requests[set][name] = kinds[kind].Load()
		}
	}
	for id, n := range s.traffic.refused.list() {
		t.Limited[id] = n.Load()
	}
	for i := range s.traffic.buckets {
		b := Bucket{Answers: s.traffic.buckets[i].Load()}
		if i < len(latencyBounds) {
			b.Bound = latencyBounds[i]
		}
		t.Latency = append(t.Latency, b)
	}
	return t
}

// traffic counts requests for flags; counting takes no lock.
type traffic struct {
	sets    counters[[len(requestKinds)]atomic.Int64] // by set; "" where nobody was let in
	refused counters[atomic.Int64]                    // by id of the key
	buckets [len(latencyBounds) + 1]atomic.Int64
	nanos   atomic.Int64
}

// counters are made the first time they are asked for, and looked up without a lock from then on.
type counters[T any] struct {
	mu  sync.Mutex
	all atomic.Pointer[map[string]*T]
}

func (c *counters[T]) get(name string) *T {
	if all := c.all.Load(); all != nil && (*all)[name] != nil {
		return (*all)[name]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]*T{}
	if all := c.all.Load(); all != nil {
		if have := (*all)[name]; have != nil {
			return have
		}
		next = maps.Clone(*all)
	}
	next[name] = new(T)
	c.all.Store(&next)
	return next[name]
}

// list gives the counters by name; nobody may change the map.
func (c *counters[T]) list() map[string]*T {
	if p := c.all.Load(); p != nil {
		return *p
	}
	return nil
}

// count counts an answered evaluation.
func (t *traffic) count(c *fiber.Ctx, took time.Duration) {
	if c.Method() != fiber.MethodPost {
		return
	}
	set, kind, status := "", kindSingle, c.Response().StatusCode()
	if r := readerOf(c); r != nil {
		set = r.Set
	}
	switch {
	case status == http.StatusNotModified:
		kind = kindNotModified
	case status >= http.StatusBadRequest:
		kind = kindError
	case len(c.Path()) <= len(bulkPath)+1:
		kind = kindBulk
	}
	t.sets.get(set)[kind].Add(1)
	i := 0
	for i < len(latencyBounds) && took > latencyBounds[i] {
		i++
	}
	t.buckets[i].Add(1)
	t.nanos.Add(int64(took))
}

// limited counts a request that came too soon.
func (t *traffic) limited(r *flags.Reader) { t.refused.get(r.ID).Add(1) }
