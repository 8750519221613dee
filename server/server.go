package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Options say how to serve.
type Options struct {
	Control *workflows.Control // nil: SetControl brings it
	Readers workflows.Readers
	Addr    string // host:port; port 0 takes a free one
	Log     *slog.Logger
	Version string
	// TrustedProxies are the addresses or networks whose X-Forwarded-* headers count. Empty: nobody's.
	TrustedProxies []string
	// SecureCookies is for serving behind TLS: cookies are bound to this host and HTTPS, and browsers are told to stay on it.
	SecureCookies bool
	// CORSOrigins are web pages, as https://host, whose scripts may read flags with a key.
	CORSOrigins []string
	// StreamSecret signs the addresses of flag streams; replicas need the same. Empty: they are good until this process ends.
	StreamSecret migration.Secret
	// Tracer makes a span of each request. nil: the one that Tracing has set up, or none.
	Tracer trace.Tracer
}

// Server serves one Control, and flags also without one.
type Server struct {
	opt         Options
	control     *workflows.Control // only after controlled
	controlled  atomic.Bool
	readers     workflows.Readers
	log         *slog.Logger
	app         *fiber.App
	hub         *hub
	streams     *flagStreams
	tracer      trace.Tracer // nil: no spans
	traced      float64      // share of the requests without a parent that get a span
	traffic     traffic
	flagTraffic flagTraffic
	started     time.Time
}

const (
	readTimeout = 5 * time.Second
	idleTimeout = 60 * time.Second
	bodyLimit   = 1 << 20
	// answerTimeout bounds the work for one request; the event stream is not bound by it.
	answerTimeout = 15 * time.Second
)

// access says who may call a route.
type access string

const (
	// open: everybody.
	open access = "open"
	// worker: who holds a key of a flag set, as the worker token is one.
	worker access = "worker"
	// reader: a key or any session. For flags.
	reader access = "reader"
	// ticketed: the address itself holds what lets in. For streams, which browsers cannot send headers with.
	ticketed access = "ticket"
	// session: every signed-in account.
	session access = "session"
	// engineer: accounts that may act. Control refuses everybody else, and writes the refusal to the audit log.
	engineer access = "engineer"
)

type route struct {
	method, path string
	who          access
	handle       fiber.Handler
}

// routes is every route there is; anything else is 404.
func (s *Server) routes() []route {
	const m, r = "/api/v1/migrations/:mid", "/api/v1/runs/:run"
	return []route{
		{"GET", "/healthz", open, s.healthz},
		{"GET", "/readyz", open, s.readyz},
		{"GET", "/metrics", open, s.metrics}, // counts only: nothing in it names an order, an account or an address
		{"GET", static.Prefix + "*", open, s.asset},

		{"GET", "/sign-in", open, s.signInPage},
		{"POST", "/sign-in", open, s.signIn},
		{"POST", "/sign-out", session, s.signOut},
		{"POST", "/theme", open, s.theme},
		{"GET", "/events", session, s.events},

		{"GET", "/", session, s.home},
		{"GET", "/m/:mid", session, s.overview},
		{"GET", "/m/:mid/steps/:step", session, s.step},
		{"POST", "/m/:mid/steps/:step/start", engineer, s.startForm},
		{"GET", "/m/:mid/runs/:run", session, s.run},
		{"POST", "/m/:mid/runs/:run/approve", engineer, s.approveForm},
		{"POST", "/m/:mid/runs/:run/reject", engineer, s.rejectForm},
		{"POST", "/m/:mid/runs/:run/pause", engineer, s.pauseForm},
		{"POST", "/m/:mid/runs/:run/resume", engineer, s.resumeForm},
		{"POST", "/m/:mid/runs/:run/cancel", engineer, s.cancelForm},
		{"POST", "/m/:mid/runs/:run/rollback", engineer, s.rollbackForm},
		{"GET", "/m/:mid/queues", session, s.queues},
		{"GET", "/m/:mid/queues/:queue", session, s.queue},
		{"GET", "/m/:mid/cutover-report", session, s.cutoverReport},
		{"GET", "/m/:mid/redis-audit", session, s.redisAudit},
		{"GET", "/m/:mid/redis-audit/export", session, s.redisAuditExport},
		{"GET", "/m/:mid/capacity", session, s.capacity},
		{"GET", "/m/:mid/exports/:format", session, s.exportFile},
		{"GET", "/m/:mid/outage", session, s.outage},
		{"POST", "/m/:mid/replays", engineer, s.replayForm},
		{"GET", "/m/:mid/breaker", session, s.breaker},
		{"POST", "/m/:mid/scans", engineer, s.scanForm},
		{"GET", "/m/:mid/jobs", session, s.jobs},
		{"POST", "/m/:mid/jobs", engineer, s.jobForm},
		{"POST", "/m/:mid/jobs/search", engineer, s.jobSearchForm},
		{"GET", "/m/:mid/ledger", session, s.ledger},
		{"GET", "/m/:mid/ledger/:order", session, s.ledgerOrder},
		{"GET", "/m/:mid/flags", session, s.flags},
		{"POST", "/m/:mid/flags/sets", engineer, s.flagSetForm},
		{"POST", "/m/:mid/flags/kill", engineer, s.flagKillForm},
		{"GET", "/m/:mid/flags/edit", session, s.flagEdit},
		{"POST", "/m/:mid/flags/edit", engineer, s.flagEditForm},
		{"POST", "/m/:mid/flags/save", engineer, s.flagSaveForm},
		{"GET", "/m/:mid/flags/history", session, s.flagHistory},
		{"POST", "/m/:mid/flags/rollback", engineer, s.flagRollbackForm},
		{"POST", "/m/:mid/flags/import", engineer, s.flagImportForm},
		{"GET", "/m/:mid/flags/schedules", session, s.flagSchedules},
		{"POST", "/m/:mid/flags/schedules", engineer, s.flagRampForm},
		{"POST", "/m/:mid/flags/schedules/cancel", engineer, s.flagCancelScheduleForm},
		{"GET", "/m/:mid/flags/workers", session, s.flagWorkers},
		{"GET", "/m/:mid/flags/keys", session, s.flagKeys},
		{"POST", "/m/:mid/flags/keys", engineer, s.flagKeyForm},
		{"POST", "/m/:mid/flags/keys/revoke", engineer, s.flagRevokeKeyForm},
		{"GET", "/m/:mid/evidence/:criterion", session, s.evidence},
		{"GET", "/m/:mid/audit", session, s.audit},
		{"GET", "/m/:mid/notifications", session, s.notifications},
		{"POST", "/m/:mid/notifications/test", engineer, s.notificationTestForm},
		{"GET", "/m/:mid/plan", session, s.plan},

		{"GET", "/api/v1/openapi.json", open, s.apiDocument},
		{"POST", "/api/v1/sessions", open, s.apiSignIn},
		{"GET", "/api/v1/sessions/current", session, s.apiWhoAmI},
		{"DELETE", "/api/v1/sessions/current", session, s.apiSignOut},
		{"GET", "/api/v1/migrations", session, s.apiMigrations},
		{"GET", m, session, s.apiOverview},
		{"GET", m + "/criteria", session, s.apiCriteria},
		{"GET", m + "/evidence", session, s.apiEvidence},
		{"GET", m + "/steps", session, s.apiSteps},
		{"GET", m + "/steps/:step/plan", session, s.apiPlan},
		{"POST", m + "/steps/:step/runs", engineer, s.apiStart},
		{"GET", m + "/runs", session, s.apiRuns},
		{"GET", m + "/queues", session, s.apiQueues},
		{"GET", m + "/queues/:queue", session, s.apiQueue},
		{"GET", m + "/jobs", session, s.apiJobs},
		{"POST", m + "/jobs", engineer, s.apiChangeJob},
		{"POST", m + "/jobs/search", engineer, s.apiSearchJobs},
		{"GET", m + "/cutover-report", session, s.apiCutoverReport},
		{"GET", m + "/redis-audit", session, s.apiRedisAudit},
		{"GET", m + "/capacity", session, s.apiCapacity},
		{"GET", m + "/exports/:format", session, s.apiExport},
		{"GET", m + "/outage", session, s.apiOutage},
		{"POST", m + "/replays", engineer, s.apiReplay},
		{"GET", m + "/breaker", session, s.apiBreaker},
		{"POST", m + "/scans", engineer, s.apiSubmitScan},
		{"GET", m + "/ledger", session, s.apiLedger},
		{"GET", m + "/ledger/exceptions", session, s.apiLedgerExceptions},
		{"GET", m + "/ledger/orders", session, s.apiLedgerOrder},
		{"GET", m + "/endpoints", session, s.apiEndpoints},
		{"GET", m + "/notifications", session, s.apiNotifications},
		{"POST", m + "/notifications/test", engineer, s.apiTestNotification},
		{"GET", m + "/flag-sets", session, s.apiFlagSets},
		{"POST", m + "/flag-sets", engineer, s.apiCreateFlagSet},
		{"GET", m + "/flags", session, s.apiFlags},
		{"GET", m + "/flags/export", session, s.apiFlagExport},
		{"POST", m + "/flags/check", session, s.apiCheckFlags},
		{"POST", m + "/flags/changes", engineer, s.apiEditFlags},
		{"POST", m + "/flags/rollback", engineer, s.apiRollbackFlags},
		{"POST", m + "/flags/kill", engineer, s.apiKillFlag},
		{"POST", m + "/flags/evaluate", session, s.apiPreviewFlag},
		{"GET", m + "/schedules", session, s.apiSchedules},
		{"POST", m + "/schedules", engineer, s.apiSchedule},
		{"DELETE", m + "/schedules/:schedule", engineer, s.apiCancelSchedule},
		{"GET", m + "/keys", session, s.apiKeys},
		{"POST", m + "/keys", engineer, s.apiCreateKey},
		{"DELETE", m + "/keys/:apikey", engineer, s.apiRevokeKey},
		{"GET", m + "/flags/history", session, s.apiFlagHistory},
		{"GET", m + "/workers", session, s.apiWorkers},
		{"GET", r, session, s.apiRun},
		{"GET", r + "/log", session, s.apiLog},
		{"GET", r + "/rollback-plan", session, s.apiRollbackPlan},
		{"POST", r + "/approve", engineer, s.apiApprove},
		{"POST", r + "/reject", engineer, s.apiReject},
		{"POST", r + "/pause", engineer, s.apiPause},
		{"POST", r + "/resume", engineer, s.apiResume},
		{"POST", r + "/cancel", engineer, s.apiCancel},
		{"POST", r + "/rollback", engineer, s.apiRollback},
		{"GET", "/api/v1/audit", session, s.apiAudit},
		{"POST", "/api/v1/workers/attest", worker, s.apiAttest},
		{"GET", "/api/v1/flags/definition", worker, s.apiDefinition},

		{"POST", bulkPath, reader, s.ofrepAll},
		{"POST", bulkPath + "/:key", reader, s.ofrepOne},
		{"GET", streamPath, ticketed, s.ofrepStream},
	}
}

// New returns a server that does not listen yet.
func New(opt Options) *Server {
	s := &Server{opt: opt, readers: opt.Readers, log: opt.Log, hub: newHub(), started: time.Now()}
	s.tracer, s.traced = tracerOf(opt)
	s.streams = newFlagStreams(opt.Readers, opt.StreamSecret, opt.Log)
	cfg := fiber.Config{
		Immutable: true, CaseSensitive: true, DisableStartupMessage: true,
		ReadTimeout: readTimeout, IdleTimeout: idleTimeout, BodyLimit: bodyLimit,
		EnableTrustedProxyCheck: true, TrustedProxies: opt.TrustedProxies, EnableIPValidation: true,
		ErrorHandler: s.fail,
	}
	if len(opt.TrustedProxies) > 0 {
		cfg.ProxyHeader = fiber.HeaderXForwardedFor
	}
	s.app = fiber.New(cfg)
	s.app.Server().HeaderReceived = receive
	s.app.Server().ErrorHandler = closeSilently(s.app.Server().ErrorHandler)
	s.app.Server().KeepHijackedConns = true // flag streams close theirs themselves
	s.app.Server().CloseOnShutdown = true   // so that clients do not send the next request over a connection that is about to close
	s.app.Use(s.around)
	for _, r := range s.routes() {
		handlers := []fiber.Handler{s.guard(r.who), r.handle}
		if !bare(r) {
			handlers = append([]fiber.Handler{s.needControl}, handlers...)
		}
		if strings.HasPrefix(r.path, flagsPath) {
			r.path = strings.Replace(r.path, ":key", "*", 1) // any key can be asked for, also one with slashes: it is then unknown
		}
		if r.method == fiber.MethodGet {
			s.app.Get(r.path, handlers...) // with HEAD
		} else {
			s.app.Add(r.method, r.path, handlers...)
		}
	}
	if opt.Control != nil {
		s.SetControl(opt.Control)
	}
	return s
}

// SetControl brings the Control of a server that was made without one, once. Until then only flags, attestations, probes and assets are
// answered, and everything else is 503.
func (s *Server) SetControl(c *workflows.Control) {
	s.control = c
	c.OnChange(s.hub.publish)
	s.controlled.Store(true)
}

// bare reports whether a route works without Control.
func bare(r route) bool {
	switch r.path {
	case "/healthz", "/readyz", "/metrics", "/api/v1/workers/attest", "/api/v1/flags/definition":
		return true
	}
	return strings.HasPrefix(r.path, flagsPath) || strings.HasPrefix(r.path, static.Prefix)
}

func (s *Server) needControl(c *fiber.Ctx) error {
	if !s.controlled.Load() {
		return migration.Errorf(migration.Unavailable, "the database has not answered since the start")
	}
	return c.Next()
}

// bindTries and bindWait: a predecessor that was just killed may still hold the port for a moment.
const (
	bindTries = 10
	bindWait  = 200 * time.Millisecond
)

// Bind listens on the configured address. It is apart from Serve so that the address is known before anything is served.
func (s *Server) Bind(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	for try := 1; ; try++ {
		ln, err := lc.Listen(ctx, "tcp", s.opt.Addr)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || try == bindTries {
			if err != nil {
				return nil, fmt.Errorf("listen on %s: %w", s.opt.Addr, err)
			}
			return ln, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("listen on %s: %w", s.opt.Addr, context.Cause(ctx))
		case <-time.After(bindWait):
		}
	}
}

// Serve answers requests until Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.app.Listener(lingering{ln}); err != nil {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Listen binds and serves until Shutdown.
func (s *Server) Listen(ctx context.Context) error {
	ln, err := s.Bind(ctx)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// Shutdown ends the event streams, lets running requests finish until ctx ends, and stops listening.
func (s *Server) Shutdown(ctx context.Context) error {
	s.hub.close() // first: an open stream never finishes by itself
	s.streams.close()
	if err := s.app.ShutdownWithContext(ctx); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("shut down the server: %w", err)
	}
	return nil
}
