// Package server is the HTTP side of Switchyard: pages, API, flags for workers, event stream.
//
// Each file here is one resource: the rows of the route table with their access levels, and below
// them its pages, API handlers and forms. A handler parses, makes one call to workflows.Control,
// and renders; rules live below it, looks in the packages of web. What handlers share is in
// package site; flags have packages of their own, for those who change them (flagadmin) and for
// workers who read them (ofrep).
//
// Forms act and lead on with 303, so that reloading does not act again. A refusal shows the page
// they came from with the reason on top, what was typed still there, and the status of the
// refusal. They need no JavaScript.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/ofrep"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/server/tracing"
	"github.com/switchyard-dev/switchyard/static"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Options say how to serve.
type Options struct {
	Control *workflows.Control // nil: SetControl brings it
	Readers workflows.Readers
	Log     *slog.Logger
	Version string
	// TrustedProxies are the addresses or networks whose X-Forwarded-* headers count. Empty:
	// nobody's.
	TrustedProxies []string
	// SecureCookies is for serving behind TLS: cookies are bound to this host and HTTPS, and
	// browsers are told to stay on it.
	SecureCookies bool
	// CORSOrigins are web pages, as https://host, whose scripts may read flags with a key.
	CORSOrigins []string
	// StreamSecret signs the addresses of flag streams; replicas need the same. Empty: they are
	// good until this process ends.
	StreamSecret migration.Secret
	// Tracer makes a span of each request. nil: the one that tracing.Setup has set up, or none.
	Tracer trace.Tracer
}

// Server serves one Control, and flags also without one.
type Server struct {
	*site.Site
	readers workflows.Readers
	app     *fiber.App
	flags   *ofrep.Server
	spans   tracing.Requests
	traffic traffic
	started time.Time
}

const (
	readTimeout = 5 * time.Second
	idleTimeout = 60 * time.Second
)

// New returns a server that does not listen yet.
func New(opt Options) *Server {
	at := site.New(opt.Log, opt.Version, opt.SecureCookies)
	s := &Server{
		Site: at, readers: opt.Readers, started: time.Now(),
		flags: ofrep.New(at, opt.Readers, opt.StreamSecret, opt.CORSOrigins),
		spans: tracing.New(opt.Tracer),
	}
	cfg := fiber.Config{
		Immutable: true, CaseSensitive: true, DisableStartupMessage: true,
		ReadTimeout: readTimeout, IdleTimeout: idleTimeout, BodyLimit: site.BodyLimit,
		EnableTrustedProxyCheck: true, TrustedProxies: opt.TrustedProxies,
		EnableIPValidation: true, ErrorHandler: s.fail,
	}
	if len(opt.TrustedProxies) > 0 {
		cfg.ProxyHeader = fiber.HeaderXForwardedFor
	}
	s.app = fiber.New(cfg)
	s.app.Server().HeaderReceived = ofrep.Receive
	s.app.Server().ErrorHandler = closeSilently(s.app.Server().ErrorHandler)
	s.app.Server().KeepHijackedConns = true // flag streams close theirs themselves
	// So that clients do not send the next request over a connection that is about to close.
	s.app.Server().CloseOnShutdown = true
	s.app.Use(s.around)
	routes := s.routes()
	s.Pages(routes)
	for _, r := range append(routes, s.formAddresses(routes)...) {
		s.add(r)
	}
	if opt.Control != nil {
		s.SetControl(opt.Control)
	}
	return s
}

func (s *Server) add(r site.Route) {
	if r.Shared != "" {
		r.Handle = s.Share(r.Shared, r.Handle)
	}
	handlers := []fiber.Handler{s.guard(r.Who), r.Handle}
	if !bare(r) {
		handlers = append([]fiber.Handler{s.needControl}, handlers...)
	}
	if strings.HasPrefix(r.Path, ofrep.Prefix) {
		// Any key can be asked for, also one with slashes: it is then unknown.
		r.Path = strings.Replace(r.Path, ":key", "*", 1)
	}
	if r.Method == fiber.MethodGet {
		s.app.Get(r.Path, handlers...) // with HEAD
	} else {
		s.app.Add(r.Method, r.Path, handlers...)
	}
}

// bare reports whether a route works without Control.
func bare(r site.Route) bool {
	switch r.Path {
	case "/healthz", "/readyz", "/metrics":
		return true
	}
	return r.Who == site.Worker || strings.HasPrefix(r.Path, ofrep.Prefix) ||
		strings.HasPrefix(r.Path, static.Prefix)
}

func (s *Server) needControl(c *fiber.Ctx) error {
	if !s.Controlled() {
		return migration.Errorf(migration.Unavailable,
			"the database has not answered since the start of Switchyard. Pages and actions "+
				"need it; flags for workers are answered without it where they are known")
	}
	return c.Next()
}

// guard lets through who the route is for, and refuses what a foreign page made a browser send.
func (s *Server) guard(who site.Access) fiber.Handler {
	admit := map[site.Access]func(*fiber.Ctx) error{
		site.Open:     func(*fiber.Ctx) error { return nil },
		site.Ticket:   func(*fiber.Ctx) error { return nil }, // the handler reads it
		site.Worker:   s.flags.AdmitKey,
		site.Reader:   s.flags.AdmitReader,
		site.Session:  s.Admit,
		site.Engineer: s.Admit,
	}[who]
	if admit == nil {
		panic(fmt.Sprintf("a route has the access level %q, which does not exist", who))
	}
	return func(c *fiber.Ctx) error {
		if !site.Safe(c.Method()) && site.FromElsewhere(c) &&
			(len(site.Bearer(c)) == 0 || !s.flags.FromAllowedSite(c)) {
			return migration.Errorf(migration.Forbidden, "this request comes from another site")
		}
		if err := admit(c); err != nil {
			return s.signInFirst(c, err)
		}
		site.Handling(c)
		return c.Next()
	}
}

// formAddresses are rows for those who ask with GET for an address that only takes forms, as a
// browser does that reloads what a form answered: each leads to the page that the form is on.
func (s *Server) formAddresses(routes []site.Route) []site.Route {
	var all []site.Route
	for _, r := range routes {
		isForm := r.Method == fiber.MethodPost && !strings.HasPrefix(r.Path, "/api/") &&
			(r.Who == site.Engineer || r.Who == site.Session || r.Path == "/theme")
		isPage := slices.ContainsFunc(routes, func(have site.Route) bool {
			return have.Method == fiber.MethodGet && have.Path == r.Path
		})
		if isForm && !isPage {
			all = append(all, site.Get(r.Path, site.Open, func(c *fiber.Ctx) error {
				return c.Redirect(s.FormPage(c), fiber.StatusSeeOther)
			}))
		}
	}
	return all
}

// around wraps every request: headers that protect, an id for the logs, a deadline, and no panic
// that kills the process.
func (s *Server) around(c *fiber.Ctx) error {
	if ofrep.Is(c) {
		return s.aroundFlags(c)
	}
	began := time.Now()
	site.RequestID(c)
	s.Protect(c)
	span := s.spans.Start(c)
	ctx, cancel := context.WithTimeout(c.UserContext(), site.AnswerTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	err := s.survive(c, c.Next)
	s.traffic.count(c.Response().StatusCode(), time.Since(began))
	tracing.End(c, span, nil)
	return err
}

// aroundFlags wraps requests for flags, of which there are many, as little as it can.
func (s *Server) aroundFlags(c *fiber.Ctx) error {
	began := time.Now()
	span := s.spans.Start(c)
	err := s.survive(c, func() error {
		if s.flags.Enter(c) {
			return nil
		}
		return c.Next()
	})
	took := time.Since(began)
	s.traffic.count(c.Response().StatusCode(), took)
	s.flags.Count(c, took)
	tracing.End(c, span, ofrep.Attributes)
	return err
}

// survive runs handlers, and answers what they fail with or panic of.
func (s *Server) survive(c *fiber.Ctx, handle func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic", "request", site.RequestID(c), "path", c.Path(),
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = migration.Errorf(migration.Internal, "panic")
		}
		if err != nil {
			err = s.fail(c, err)
		}
	}()
	return handle()
}

// fail answers an error in the form that the path's readers understand.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	if ofrep.Is(c) {
		return s.flags.Fail(c, err)
	}
	return s.Fail(c, err)
}
