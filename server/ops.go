package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/workflows"
)

func (s *Server) opsRoutes() []site.Route {
	return []site.Route{
		site.Get("/healthz", site.Open, s.healthz),
		site.Get("/readyz", site.Open, s.readyz),
		// Counts only: nothing in it names an order, an account or an address.
		site.Get("/metrics", site.Open, s.metrics),
		site.Get(static.Prefix+"*", site.Open, site.Asset),
		site.Get("/api/v1/openapi.json", site.Open, s.apiDocument),
	}
}

func (s *Server) apiDocument(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(api.OpenAPI())
}

// healthz says that the process answers.
func (s *Server) healthz(c *fiber.Ctx) error { return c.SendString("ok\n") }

// probeTimeout bounds what a probe waits for the database: it must say what is wrong, not
// hang with it.
const probeTimeout = 3 * time.Second

// readyz says whether requests can be served, and what is wrong where something is. Flags
// that are held can be served without a database, so a database that fails does not take
// this process out of its load balancer: the workers would lose their flags with it.
func (s *Server) readyz(c *fiber.Ctx) error {
	detail := map[string]string{"database": "has not answered since the start", "flags": "ok"}
	ok := false
	if s.Controlled() {
		ctx, cancel := context.WithTimeout(c.UserContext(), probeTimeout)
		defer cancel()
		ok, detail = s.Control.Ready(ctx)
	}
	stale, since := s.readers.Flags.Stale()
	switch {
	case len(s.readers.Flags.IDs()) == 0:
		detail["flags"] = "none are known yet"
	case stale:
		detail["flags"] = "last known good, since " + since.UTC().Format(time.RFC3339)
		ok = true
	default:
		ok = true
	}
	if s.readers.Flags.Unsaved() {
		detail["flags_file"] = "could not be written: a restart without the database would " +
			"serve older flags"
	}
	if !ok {
		c.Status(http.StatusServiceUnavailable)
	}
	return c.JSON(detail)
}

// traffic counts answers for /metrics.
type traffic struct {
	answers [6]atomic.Int64 // by first digit of the status
	nanos   atomic.Int64
}

func (t *traffic) count(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < len(t.answers) {
		t.answers[class].Add(1)
	}
	t.nanos.Add(int64(took))
}

// metrics writes the Prometheus text format, version 0.0.4.
func (s *Server) metrics(c *fiber.Ctx) error {
	var b strings.Builder
	metric := func(name, kind, help string, samples ...string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		for _, sample := range samples {
			fmt.Fprintf(&b, "%s%s\n", name, sample)
		}
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	metric(
		"switchyard_build_info", "gauge", "Always 1; the version is the label.",
		fmt.Sprintf("{version=%q} 1", s.Version),
	)
	metric(
		"process_start_time_seconds", "gauge", "Start of the process, Unix time.",
		fmt.Sprintf(" %d", s.started.Unix()),
	)
	metric("go_goroutines", "gauge", "Goroutines.", fmt.Sprintf(" %d", runtime.NumGoroutine()))
	metric("go_memstats_alloc_bytes", "gauge", "Bytes of live heap.", fmt.Sprintf(" %d", mem.Alloc))
	metric(
		"switchyard_event_streams", "gauge", "Open event streams.",
		fmt.Sprintf(" %d", s.Live.Count()),
	)
	var answers []string
	for class := 1; class < len(s.traffic.answers); class++ {
		answers = append(
			answers,
			fmt.Sprintf("{class=\"%dxx\"} %d", class, s.traffic.answers[class].Load()),
		)
	}
	metric("switchyard_http_answers_total", "counter", "Answers by class of status.", answers...)
	metric(
		"switchyard_http_seconds_total", "counter", "Time spent on answers.",
		fmt.Sprintf(" %.6f", time.Duration(s.traffic.nanos.Load()).Seconds()),
	)

	s.flagMetrics(metric)
	up := 0
	if s.Controlled() {
		ctx, cancel := context.WithTimeout(c.UserContext(), probeTimeout)
		defer cancel()
		if err := s.migrationMetrics(ctx, metric); err == nil {
			up = 1
		} else {
			s.Log.Warn("metrics without the database", "err", err)
		}
	}
	metric("switchyard_database_up", "gauge", "1 when the database answers; without it nothing "+
		"about migrations is listed.", fmt.Sprintf(" %d", up))
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	return c.SendString(b.String())
}

// flagMetrics tells how flags are read. It asks only what is in memory.
func (s *Server) flagMetrics(metric writeMetric) {
	var requests, refused, latency, streams, revisions []string
	t := s.flags.Traffic()
	for _, set := range slices.Sorted(maps.Keys(t.Requests)) {
		for _, kind := range slices.Sorted(maps.Keys(t.Requests[set])) {
			requests = append(
				requests,
				fmt.Sprintf("{set=%q,kind=%q} %d", set, kind, t.Requests[set][kind]),
			)
		}
	}
	metric("switchyard_flag_requests_total", "counter", "Evaluations over OFREP, by flag set "+
		"and by what they were answered with; without a set where nobody was let in.", requests...)
	sum := int64(0)
	for _, b := range t.Latency {
		bound := "+Inf"
		if b.Bound > 0 {
			bound = strconv.FormatFloat(b.Bound.Seconds(), 'g', -1, 64)
		}
		sum += b.Answers
		latency = append(latency, fmt.Sprintf("_bucket{le=%q} %d", bound, sum))
	}
	latency = append(
		latency, fmt.Sprintf("_sum %.9f", t.Took.Seconds()), fmt.Sprintf("_count %d", sum),
	)
	metric("switchyard_flag_request_seconds", "histogram", "Time to answer an evaluation, "+
		"without reading and sending it.", latency...)
	for _, id := range slices.Sorted(maps.Keys(t.Limited)) {
		refused = append(refused, fmt.Sprintf("{key=%q} %d", id, t.Limited[id]))
	}
	metric("switchyard_flag_rate_limited_total", "counter", "Requests that came faster than "+
		"their key may ask, by the key's id.", refused...)
	for _, set := range slices.Sorted(maps.Keys(t.Streams)) {
		streams = append(streams, fmt.Sprintf("{set=%q} %d", set, t.Streams[set]))
	}
	metric("switchyard_flag_streams", "gauge", "Open streams that tell of changes.", streams...)
	for _, id := range s.readers.Flags.IDs() {
		if held, ok := s.readers.Flags.Held(id); ok {
			revisions = append(revisions, fmt.Sprintf("{set=%q} %d", id, held.Revision))
		}
	}
	metric("switchyard_flag_revision", "gauge", "Revision of each flag set that is in force "+
		"here.", revisions...)
	age := 0.0
	if stale, since := s.readers.Flags.Stale(); stale {
		if since.IsZero() {
			since = s.started
		}
		age = time.Since(since).Seconds()
	}
	metric("switchyard_flags_stale_seconds", "gauge", "How long ago the flags were last known "+
		"to be current; 0 while they are.", fmt.Sprintf(" %.3f", age))
	unsaved := 0
	if s.readers.Flags.Unsaved() {
		unsaved = 1
	}
	metric("switchyard_flags_unsaved", "gauge", "1 while the last known good file lags behind "+
		"what is in force.", fmt.Sprintf(" %d", unsaved))
}

type writeMetric func(name, kind, help string, samples ...string)

func (s *Server) migrationMetrics(ctx context.Context, metric writeMetric) error {
	all, err := s.Control.Migrations(ctx)
	if err != nil {
		return err
	}
	var verdicts, met, orders, workers, stage, problems, alerts, open []string
	var ledgers ledgerMetrics
	for _, m := range all {
		l, err := s.Control.LedgerOverview(ctx, m.ID)
		if err != nil {
			return err
		}
		ledgers.add(m.ID, l)
		counts, err := s.Control.AlertCounts(ctx, m.ID)
		if err != nil {
			return err
		}
		for severity, n := range counts {
			open = append(open, fmt.Sprintf("{migration=%q,severity=%q} %d", m.ID, severity, n))
		}
		o, err := s.Control.Overview(ctx, m.ID)
		if err != nil {
			return err
		}
		for _, i := range o.Checklist {
			for _, v := range []migration.Verdict{
				migration.Met, migration.Unmet, migration.Stale, migration.Unknown,
			} {
				on := 0
				if i.Verdict == v {
					on = 1
				}
				verdicts = append(
					verdicts,
					fmt.Sprintf(
						"{migration=%q,criterion=%q,verdict=%q} %d", m.ID, i.Criterion.ID,
						v, on,
					),
				)
			}
		}
		met = append(met, fmt.Sprintf("{migration=%q} %d", m.ID, o.Checklist.MetCount()))
		// Zeros would say that nothing was lost, and nothing is known.
		if o.Orders.Acknowledged > 0 {
			for _, n := range []struct {
				state string
				n     int
			}{
				{"acknowledged", o.Orders.Acknowledged}, {"applied", o.Orders.Fulfilled},
				{"pending", o.Orders.Pending}, {"lost", o.Orders.Lost},
				{"duplicated", o.Orders.Duplicated},
			} {
				orders = append(
					orders, fmt.Sprintf("{migration=%q,state=%q} %d", m.ID, n.state, n.n),
				)
			}
		}
		if o.AuditProblems != nil {
			for _, severity := range []string{"critical", "high", "medium", "low", "info"} {
				problems = append(
					problems,
					fmt.Sprintf(
						"{migration=%q,severity=%q} %d", m.ID, severity,
						o.AuditProblems[severity],
					),
				)
			}
		}
		for _, a := range o.Alerts {
			alerts = append(
				alerts,
				fmt.Sprintf("{migration=%q,check=%q,severity=%q} 1", m.ID, a.Check, a.Severity),
			)
		}
		for _, w := range o.Workers {
			workers = append(
				workers,
				fmt.Sprintf("{migration=%q,instance=%q} %d", m.ID, w.Instance, w.Revision),
			)
		}
		stage = append(
			stage,
			fmt.Sprintf("{migration=%q,stage=%q} %d", m.ID, o.Routing.Stage, o.Routing.Ramp),
		)
	}
	metric(
		"switchyard_criterion", "gauge", "1 for the present verdict of each criterion.",
		verdicts...)
	metric("switchyard_criteria_met", "gauge", "Criteria that are met.", met...)
	metric("switchyard_audit_problems", "gauge", "Problems that the last look at the source's "+
		"settings and counters found, over all its nodes; absent before an audit.", problems...)
	slices.Sort(alerts) // nodes are not named here: one sample for a check of several
	metric("switchyard_audit_alert", "gauge", "1 for each check of the audit that was well once "+
		"and is not now.", slices.Compact(alerts)...)
	slices.Sort(open)
	metric(
		"switchyard_alerts", "gauge", "Open alerts by the worst severity since each began.",
		open...)
	metric(
		"switchyard_orders", "gauge",
		"Orders of the ledger; absent while it is not current.",
		orders...)
	ledgers.write(metric)
	channels, err := s.Control.NotificationChannels(ctx)
	if err != nil {
		return err
	}
	var tries, waiting, failing []string
	for _, c := range channels {
		on := 0
		if c.Failing() {
			on = 1
		}
		failing = append(failing, fmt.Sprintf("{channel=%q} %d", c.Name, on))
		waiting = append(waiting, fmt.Sprintf("{channel=%q} %d", c.Name, c.Waiting))
		tries = append(
			tries, fmt.Sprintf("{channel=%q,result=\"sent\"} %d", c.Name, c.Sent),
			fmt.Sprintf("{channel=%q,result=\"failed\"} %d", c.Name, c.Failed),
		)
	}
	metric("switchyard_notification_tries_total", "counter", "Attempts to send a message, by "+
		"channel.", tries...)
	metric("switchyard_notifications_waiting", "gauge", "Messages that a channel has not taken "+
		"yet.", waiting...)
	metric("switchyard_notification_channel_failing", "gauge", "1 when a channel's last attempt "+
		"failed.", failing...)
	metric(
		"switchyard_worker_revision", "gauge", "Flag revision that each worker uses.",
		workers...)
	metric("switchyard_ramp_percent", "gauge", "Share of orders whose authority is the target "+
		"while the stage is live.", stage...)
	return nil
}

// ledgerMetrics are samples of the order ledgers.
type ledgerMetrics struct {
	verdict, open, oldest, late, exceptions, found, lag, entries, jobs, doubtful []string
}

func (l *ledgerMetrics) add(mid string, o workflows.LedgerOverview) {
	for _, v := range []string{
		workflows.LedgerClean, workflows.LedgerBroken, workflows.LedgerInconclusive,
	} {
		on := 0
		if o.Verdict == v {
			on = 1
		}
		l.verdict = append(l.verdict, fmt.Sprintf("{migration=%q,verdict=%q} %d", mid, v, on))
	}
	l.open = append(l.open, fmt.Sprintf("{migration=%q} %d", mid, o.Open))
	if o.Journal != nil {
		l.oldest = append(
			l.oldest,
			fmt.Sprintf("{migration=%q} %.3f", mid, float64(o.Journal.OldestOpenMS)/1000),
		)
	}
	for _, n := range o.Counts {
		l.exceptions = append(
			l.exceptions,
			fmt.Sprintf("{migration=%q,verdict=%q,state=\"open\"} %d", mid, n.Verdict, n.Open),
			fmt.Sprintf(
				"{migration=%q,verdict=%q,state=\"settled\"} %d", mid, n.Verdict, n.Settled,
			),
		)
		l.found = append(
			l.found,
			fmt.Sprintf("{migration=%q,verdict=%q} %d", mid, n.Verdict, n.Open+n.Settled),
		)
	}
	l.late = append(l.late, fmt.Sprintf("{migration=%q} %d", mid, o.Late()))
	for _, lane := range o.Lanes {
		labels := fmt.Sprintf(
			"{migration=%q,side=%q,queue=%q,shadow=\"%t\"}", mid, lane.Lane.Side,
			lane.Lane.Queue, lane.Lane.Shadow,
		)
		// Never read to its end: there is no lag to tell, and the verdict is inconclusive.
		if lane.At != 0 {
			l.lag = append(l.lag, fmt.Sprintf("%s %.3f", labels, float64(lane.LagMS)/1000))
		}
		l.entries = append(l.entries, fmt.Sprintf("%s %d", labels, lane.Entries))
		l.jobs = append(l.jobs, fmt.Sprintf("%s %d", labels, lane.Open))
	}
	l.doubtful = append(l.doubtful, fmt.Sprintf("{migration=%q} %d", mid, o.Doubtful()))
}

func (l *ledgerMetrics) write(metric writeMetric) {
	metric("switchyard_ledger_verdict", "gauge", "1 for the present verdict of the order "+
		"ledger.", l.verdict...)
	metric("switchyard_ledger_open_orders", "gauge", "Jobs of the followed queues that have not "+
		"ended or are not judged yet.", l.open...)
	metric("switchyard_ledger_oldest_open_seconds", "gauge", "Age of the oldest acknowledged "+
		"order that has not taken effect; absent while the journal is not current.", l.oldest...)
	metric("switchyard_ledger_late_orders", "gauge", "Orders over their deadline.", l.late...)
	metric(
		"switchyard_ledger_exceptions", "gauge", "Exceptions by verdict, open and settled.",
		l.exceptions...)
	metric("switchyard_ledger_exceptions_total", "counter", "Exceptions ever found.", l.found...)
	metric("switchyard_ledger_lane_lag_seconds", "gauge", "How long ago a queue's events were "+
		"read to their end; absent before the first time.", l.lag...)
	metric("switchyard_ledger_lane_entries_total", "counter", "Entries of a queue's events that "+
		"were read.", l.entries...)
	metric("switchyard_ledger_lane_open_jobs", "gauge", "Jobs of a queue that have not ended, "+
		"by its events.", l.jobs...)
	metric("switchyard_ledger_inconclusive_minutes", "gauge", "Minutes of the last hour, over "+
		"all queues, that prove nothing.", l.doubtful...)
}
