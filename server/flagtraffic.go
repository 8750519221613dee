package server

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

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
var latencyBounds = [...]time.Duration{
	5 * time.Microsecond,
	10 * time.Microsecond,
	25 * time.Microsecond,
	50 * time.Microsecond,
	100 * time.Microsecond,
	250 * time.Microsecond,
	time.Millisecond,
	5 * time.Millisecond,
	25 * time.Millisecond,
	100 * time.Millisecond,
	time.Second,
}

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

// list gives the counters by name; nobody may change the map.
func (c *counters[T]) list() map[string]*T {
	if p := c.all.Load(); p != nil {
		return *p
	}
	return nil
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

var (
	metricFlagRequests = counter("switchyard_flag_requests_total",
		"Evaluations over OFREP, by flag set and by what they were answered with; "+
			"without a set where nobody was let in.", "set", "kind")
	metricFlagSeconds = prometheus.NewDesc("switchyard_flag_request_seconds",
		"Time to answer an evaluation, without reading and sending it.", nil, nil)
	metricFlagRateLimited = counter("switchyard_flag_rate_limited_total",
		"Requests that came faster than their key may ask, by the key's id.", "key")
	metricFlagStreams = gauge("switchyard_flag_streams",
		"Open streams that tell of changes.", "set")
	metricFlagRevision = gauge("switchyard_flag_revision",
		"Revision of each flag set that is in force here.", "set")
	metricFlagsStaleness = gauge("switchyard_flags_stale_seconds",
		"How long ago the flags were last known to be current; 0 while they are.")
	metricFlagsUnsaved = gauge("switchyard_flags_unsaved",
		"1 while the last known good file lags behind what is in force.")
)

// flagMetrics tells how flags are read. It asks only what is in memory.
func (s *Server) flagMetrics(found *samples) {
	for set, kinds := range s.flagTraffic.sets.list() {
		for kind, name := range requestKinds {
			found.add(metricFlagRequests, float64(kinds[kind].Load()), set, name)
		}
	}
	*found = append(*found, s.flagTraffic.latency())
	for id, refused := range s.flagTraffic.refused.list() {
		found.add(metricFlagRateLimited, float64(refused.Load()), id)
	}
	for set, n := range s.streams.counts() {
		found.add(metricFlagStreams, float64(n), set)
	}
	for _, id := range s.readers.Flags.IDs() {
		if held, ok := s.readers.Flags.Held(id); ok {
			found.add(metricFlagRevision, float64(held.Revision), id)
		}
	}
	age := 0.0
	if stale, since := s.readers.Flags.Stale(); stale {
		if since.IsZero() {
			since = s.started
		}
		age = time.Since(since).Seconds()
	}
	found.add(metricFlagsStaleness, age)
	found.add(metricFlagsUnsaved, truth(s.readers.Flags.Unsaved()))
}

func (t *flagTraffic) latency() prometheus.Metric {
	sum, buckets := uint64(0), map[float64]uint64{}
	for i := range t.buckets {
		sum += uint64(t.buckets[i].Load())
		if i < len(latencyBounds) { // the last one has no bound: the library adds it
			buckets[latencyBounds[i].Seconds()] = sum
		}
	}
	took := time.Duration(t.nanos.Load()).Seconds()
	return prometheus.MustNewConstHistogram(metricFlagSeconds, sum, took, buckets)
}
