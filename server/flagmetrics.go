package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-dev/switchyard/server/ofrep"
)

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
	t := s.flags.Traffic()
	for set, kinds := range t.Requests {
		for kind, n := range kinds {
			found.add(metricFlagRequests, float64(n), set, kind)
		}
	}
	*found = append(*found, latency(t))
	for id, n := range t.Limited {
		found.add(metricFlagRateLimited, float64(n), id)
	}
	for set, n := range t.Streams {
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

func latency(t ofrep.Traffic) prometheus.Metric {
	sum, buckets := uint64(0), map[float64]uint64{}
	for _, b := range t.Latency {
		sum += uint64(b.Answers) //nolint:gosec // a count
		if b.Bound > 0 {         // the last one has no bound: the library adds it
			buckets[b.Bound.Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(metricFlagSeconds, sum, t.Took.Seconds(), buckets)
}
