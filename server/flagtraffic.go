package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/flags"
)

// requestKinds are what /metrics tells requests for flags apart by.
var requestKinds = [...]string{"single", "bulk", "not_modified", "error"}

const (
	kindSingle = iota
	kindBulk
	kindNotModified
	kindError
)

// latencyBounds are the buckets of the time that an answer takes, without reading and sending it.
var latencyBounds = [...]time.Duration{5 * time.Microsecond, 10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond,
	250 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, time.Second}

// flagTraffic counts requests for flags; counting takes no lock.
type flagTraffic struct {
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

// list gives the counters by name.
func (c *counters[T]) list() (names []string, all map[string]*T) {
	if p := c.all.Load(); p != nil {
		all = *p
	}
	return slices.Sorted(maps.Keys(all)), all
}

// count counts an answered evaluation.
func (t *flagTraffic) count(c *fiber.Ctx, took time.Duration) {
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
func (t *flagTraffic) limited(r *flags.Reader) { t.refused.get(r.ID).Add(1) }

// flagMetrics tells how flags are read. It asks only what is in memory.
func (s *Server) flagMetrics(metric writeMetric) {
	var requests, refused, latency, streams, revisions []string
	names, sets := s.flagTraffic.sets.list()
	for _, set := range names {
		for kind, name := range requestKinds {
			requests = append(requests, fmt.Sprintf("{set=%q,kind=%q} %d", set, name, sets[set][kind].Load()))
		}
	}
	metric("switchyard_flag_requests_total", "counter", "Evaluations over OFREP, by flag set and by what they were answered with; without a set where nobody was let in.", requests...)
	sum := int64(0)
	for i := range s.flagTraffic.buckets {
		bound := "+Inf"
		if i < len(latencyBounds) {
			bound = strconv.FormatFloat(latencyBounds[i].Seconds(), 'g', -1, 64)
		}
		sum += s.flagTraffic.buckets[i].Load()
		latency = append(latency, fmt.Sprintf("_bucket{le=%q} %d", bound, sum))
	}
	latency = append(latency, fmt.Sprintf("_sum %.9f", time.Duration(s.flagTraffic.nanos.Load()).Seconds()), fmt.Sprintf("_count %d", sum))
	metric("switchyard_flag_request_seconds", "histogram", "Time to answer an evaluation, without reading and sending it.", latency...)
	names, keys := s.flagTraffic.refused.list()
	for _, id := range names {
		refused = append(refused, fmt.Sprintf("{key=%q} %d", id, keys[id].Load()))
	}
	metric("switchyard_flag_rate_limited_total", "counter", "Requests that came faster than their key may ask, by the key's id.", refused...)
	counts := s.streams.counts()
	for _, set := range slices.Sorted(maps.Keys(counts)) {
		streams = append(streams, fmt.Sprintf("{set=%q} %d", set, counts[set]))
	}
	metric("switchyard_flag_streams", "gauge", "Open streams that tell of changes.", streams...)
	for _, id := range s.readers.Flags.IDs() {
		if held, ok := s.readers.Flags.Held(id); ok {
			revisions = append(revisions, fmt.Sprintf("{set=%q} %d", id, held.Revision))
		}
	}
	metric("switchyard_flag_revision", "gauge", "Revision of each flag set that is in force here.", revisions...)
	age := 0.0
	if stale, since := s.readers.Flags.Stale(); stale {
		if since.IsZero() {
			since = s.started
		}
		age = time.Since(since).Seconds()
	}
	metric("switchyard_flags_stale_seconds", "gauge", "How long ago the flags were last known to be current; 0 while they are.", fmt.Sprintf(" %.3f", age))
	unsaved := 0
	if s.readers.Flags.Unsaved() {
		unsaved = 1
	}
	metric("switchyard_flags_unsaved", "gauge", "1 while the last known good file lags behind what is in force.", fmt.Sprintf(" %d", unsaved))
}
