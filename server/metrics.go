package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

// What /metrics says of the process and of what the database holds; flagmetrics.go has the rest.
var (
	metricBuildInfo = gauge("switchyard_build_info",
		"Always 1; the version is the label.", "version")
	metricStartTime = gauge("process_start_time_seconds", "Start of the process, Unix time.")
	metricRoutines  = gauge("go_goroutines", "Goroutines.")
	metricHeap      = gauge("go_memstats_alloc_bytes", "Bytes of live heap.")

	metricEventStreams = gauge("switchyard_event_streams", "Open event streams.")
	metricSlowReaders  = counter("switchyard_event_streams_slow_total",
		"Event streams that were ended because their reader took nothing any more.")
	metricFragments = counter("switchyard_fragments_total",
		"Main parts of live pages: rendered, or given to one more reader (shared).", "how")
	metricHTTPAnswers = counter("switchyard_http_answers_total",
		"Answers by class of status.", "class")
	metricHTTPSeconds = counter("switchyard_http_seconds_total", "Time spent on answers.")
	metricDatabaseUp  = gauge("switchyard_database_up",
		"1 when the database answers; without it nothing about migrations is listed.")

	metricCriterion = gauge("switchyard_criterion",
		"1 for the present verdict of each criterion.", "migration", "criterion", "verdict")
	metricCriteriaMet   = gauge("switchyard_criteria_met", "Criteria that are met.", "migration")
	metricAuditProblems = gauge("switchyard_audit_problems",
		"Problems that the last look at the source's settings and counters found, "+
			"over all its nodes; absent before an audit.", "migration", "severity")
	metricAuditAlert = gauge("switchyard_audit_alert",
		"1 for each check of the audit that was well once and is not now.",
		"migration", "check", "severity")
	metricOpenAlerts = gauge("switchyard_alerts",
		"Open alerts by the worst severity since each began.", "migration", "severity")
	metricOrders = gauge("switchyard_orders",
		"Orders of the ledger; absent while it is not current.", "migration", "state")
	metricWorkerRevision = gauge("switchyard_worker_revision",
		"Flag revision that each worker uses.", "migration", "instance")
	metricRampPercent = gauge("switchyard_ramp_percent",
		"Share of orders whose authority is the target while the stage is live.",
		"migration", "stage")

	metricNotificationTries = counter("switchyard_notification_tries_total",
		"Attempts to send a message, by channel.", "channel", "result")
	metricNotificationsWaiting = gauge("switchyard_notifications_waiting",
		"Messages that a channel has not taken yet.", "channel")
	metricChannelFailing = gauge("switchyard_notification_channel_failing",
		"1 when a channel's last attempt failed.", "channel")

	metricLedgerVerdict = gauge("switchyard_ledger_verdict",
		"1 for the present verdict of the order ledger.", "migration", "verdict")
	metricLedgerOpen = gauge("switchyard_ledger_open_orders",
		"Jobs of the followed queues that have not ended or are not judged yet.", "migration")
	metricLedgerOldestOpen = gauge("switchyard_ledger_oldest_open_seconds",
		"Age of the oldest acknowledged order that has not taken effect; "+
			"absent while the journal is not current.", "migration")
	metricLedgerLate = gauge("switchyard_ledger_late_orders",
		"Orders over their deadline.", "migration")
	metricLedgerExceptions = gauge("switchyard_ledger_exceptions",
		"Exceptions by verdict, open and settled.", "migration", "verdict", "state")
	metricLedgerFound = counter("switchyard_ledger_exceptions_total",
		"Exceptions ever found.", "migration", "verdict")
	metricLedgerInconclusive = gauge("switchyard_ledger_inconclusive_minutes",
		"Minutes of the last hour, over all queues, that prove nothing.", "migration")
	metricLaneLag = gauge("switchyard_ledger_lane_lag_seconds",
		"How long ago a queue's events were read to their end; absent before the first time.",
		laneLabels...)
	metricLaneEntries = counter("switchyard_ledger_lane_entries_total",
		"Entries of a queue's events that were read.", laneLabels...)
	metricLaneOpenJobs = gauge("switchyard_ledger_lane_open_jobs",
		"Jobs of a queue that have not ended, by its events.", laneLabels...)

	laneLabels = []string{"migration", "side", "queue", "shadow"}
)

// series is a metric of /metrics, of which a scrape adds samples.
type series struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) series {
	return series{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) series {
	return series{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// samples are what one scrape found. As a collector they are unchecked: they exist only after the
// questions were asked, since those take a context and may fail.
type samples []prometheus.Metric

// Describe implements prometheus.Collector.
func (samples) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s samples) Collect(ch chan<- prometheus.Metric) {
	for _, m := range s {
		ch <- m
	}
}

// add expects the values of the labels in the order in which the series names them. The library
// refuses values that are not UTF-8, and one odd name must not take its sample away.
func (s *samples) add(of series, value float64, labels ...string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	m, err := prometheus.NewConstMetric(of.desc, of.kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(of.desc, err)
	}
	*s = append(*s, m)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// metrics answers in the Prometheus text format. A sample that cannot be shown, such as a second one
// with the same labels, is logged and left out; the others are shown.
func (s *Server) metrics(c *fiber.Ctx) error {
	var found samples
	s.processMetrics(&found)
	s.flagMetrics(&found)
	up := false
	if s.Controlled() {
		ctx, cancel := context.WithTimeout(c.UserContext(), probeTimeout)
		defer cancel()
		known, err := s.migrationMetrics(ctx)
		if up = err == nil; up {
			found = append(found, known...)
		} else {
			s.Log.Warn("metrics without the database", "err", err)
		}
	}
	found.add(metricDatabaseUp, truth(up))
	registry := prometheus.NewRegistry()
	if err := registry.Register(found); err != nil {
		return err
	}
	return adaptor.HTTPHandler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}))(c)
}

func (s *Server) processMetrics(found *samples) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	found.add(metricBuildInfo, 1, s.Version)
	found.add(metricStartTime, float64(s.started.Unix()))
	found.add(metricRoutines, float64(runtime.NumGoroutine()))
	found.add(metricHeap, float64(mem.Alloc))
	found.add(metricEventStreams, float64(s.Live.Count()))
	found.add(metricSlowReaders, float64(s.Live.Slow()))
	rendered, shared := s.Fragments()
	found.add(metricFragments, float64(rendered), "rendered")
	found.add(metricFragments, float64(shared), "shared")
	for class := 1; class < len(s.traffic.answers); class++ {
		n := s.traffic.answers[class].Load()
		found.add(metricHTTPAnswers, float64(n), fmt.Sprintf("%dxx", class))
	}
	found.add(metricHTTPSeconds, time.Duration(s.traffic.nanos.Load()).Seconds())
}

// migrationMetrics gives everything that the database knows, or nothing of it: half of the samples
// would look as if the rest had gone.
func (s *Server) migrationMetrics(ctx context.Context) (samples, error) {
	var found samples
	all, err := s.Control.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		l, err := s.Control.LedgerOverview(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		found.ledger(m.ID, l)
		counts, err := s.Control.AlertCounts(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		for severity, n := range counts {
			found.add(metricOpenAlerts, float64(n), m.ID, string(severity))
		}
		o, err := s.Control.Overview(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		found.overview(m.ID, o)
	}
	channels, err := s.Control.NotificationChannels(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range channels {
		found.add(metricChannelFailing, truth(c.Failing()), c.Name)
		found.add(metricNotificationsWaiting, float64(c.Waiting), c.Name)
		found.add(metricNotificationTries, float64(c.Sent), c.Name, "sent")
		found.add(metricNotificationTries, float64(c.Failed), c.Name, "failed")
	}
	return found, nil
}

var allVerdicts = []migration.Verdict{
	migration.Met, migration.Unmet, migration.Stale, migration.Unknown,
}

func (s *samples) overview(mid string, o migration.Overview) {
	for _, i := range o.Checklist {
		for _, v := range allVerdicts {
			s.add(metricCriterion, truth(i.Verdict == v), mid, i.Criterion.ID, string(v))
		}
	}
	s.add(metricCriteriaMet, float64(o.Checklist.MetCount()), mid)
	if o.Orders.Acknowledged > 0 { // zeros would say that nothing was lost, and nothing is known
		s.add(metricOrders, float64(o.Orders.Acknowledged), mid, "acknowledged")
		s.add(metricOrders, float64(o.Orders.Fulfilled), mid, "applied")
		s.add(metricOrders, float64(o.Orders.Pending), mid, "pending")
		s.add(metricOrders, float64(o.Orders.Lost), mid, "lost")
		s.add(metricOrders, float64(o.Orders.Duplicated), mid, "duplicated")
	}
	if o.AuditProblems != nil {
		for _, severity := range []string{"critical", "high", "medium", "low", "info"} {
			s.add(metricAuditProblems, float64(o.AuditProblems[severity]), mid, severity)
		}
	}
	// Nodes are not named here: one sample for a check that several of them fail.
	type alert struct{ check, severity string }
	seen := map[alert]bool{}
	for _, a := range o.Alerts {
		key := alert{a.Check, a.Severity}
		if !seen[key] {
			s.add(metricAuditAlert, 1, mid, key.check, key.severity)
		}
		seen[key] = true
	}
	// Readers that do not name themselves share a sample: the oldest revision that one of them uses.
	revisions := map[string]int64{}
	for _, w := range o.Workers {
		if have, ok := revisions[w.Instance]; !ok || w.Revision < have {
			revisions[w.Instance] = w.Revision
		}
	}
	for instance, revision := range revisions {
		s.add(metricWorkerRevision, float64(revision), mid, instance)
	}
	s.add(metricRampPercent, float64(o.Routing.Ramp), mid, string(o.Routing.Stage))
}

func (s *samples) ledger(mid string, o workflows.LedgerOverview) {
	for _, v := range []string{
		workflows.LedgerClean, workflows.LedgerBroken, workflows.LedgerInconclusive,
	} {
		s.add(metricLedgerVerdict, truth(o.Verdict == v), mid, v)
	}
	s.add(metricLedgerOpen, float64(o.Open), mid)
	if o.Journal != nil {
		s.add(metricLedgerOldestOpen, float64(o.Journal.OldestOpenMS)/1000, mid)
	}
	for _, n := range o.Counts {
		verdict := string(n.Verdict)
		s.add(metricLedgerExceptions, float64(n.Open), mid, verdict, "open")
		s.add(metricLedgerExceptions, float64(n.Settled), mid, verdict, "settled")
		s.add(metricLedgerFound, float64(n.Open+n.Settled), mid, verdict)
	}
	s.add(metricLedgerLate, float64(o.Late()), mid)
	for _, lane := range o.Lanes {
		labels := []string{
			mid,
			lane.Lane.Side,
			lane.Lane.Queue,
			fmt.Sprint(lane.Lane.Shadow),
		}
		if lane.At != 0 { // never read to its end: there is no lag, and the verdict is inconclusive
			s.add(metricLaneLag, float64(lane.LagMS)/1000, labels...)
		}
		s.add(metricLaneEntries, float64(lane.Entries), labels...)
		s.add(metricLaneOpenJobs, float64(lane.Open), labels...)
	}
	s.add(metricLedgerInconclusive, float64(o.Doubtful()), mid)
}
