// Package ofrep is what workers read: flags over OFREP 0.3.0, the streams that tell of changes,
// and the whole definition of a set. Everything is answered from memory: a worker must not lose
// its flags because our database is down.
package ofrep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/server/site"
	"github.com/switchyard-dev/switchyard/workflows"
)

const (
	// Prefix is of the paths on which errors have the protocol's own form.
	Prefix = "/ofrep/"

	bulkPath   = "/ofrep/v1/evaluate/flags"
	streamPath = "/ofrep/v1/sse"

	// BodyLimit is how much of a request body is read before the connection is given up. It
	// is far above flags.MaxBody, so that who sends too much gets the protocol's error
	// instead of a broken connection.
	BodyLimit = 4 << 20
)

// Names of headers in the form in which they are stored.
var (
	headerSniff  = []byte(fiber.HeaderXContentTypeOptions)
	headerCache  = []byte(fiber.HeaderCacheControl)
	headerETag   = []byte("Etag")
	valueNoSniff = []byte("nosniff")
	valueNoStore = []byte("no-store")
)

// Server answers workers.
type Server struct {
	site    *site.Site
	readers workflows.Readers
	origins []string // that CORS allows
	streams *streams
	traffic traffic
}

// New returns a server for these readers. secret signs the addresses of streams: replicas need
// the same, and without one they are good until this process ends. origins are web pages, as
// https://host, whose scripts may read flags with a key.
func New(
	s *site.Site, readers workflows.Readers, secret migration.Secret, origins []string,
) *Server {
	return &Server{
		site: s, readers: readers, origins: origins,
		streams: newStreams(readers, secret, s.Log),
	}
}

// Close ends every stream.
func (s *Server) Close() { s.streams.close() }

// Routes are the rows of the route table.
func (s *Server) Routes() []site.Route {
	return []site.Route{
		site.Post(bulkPath, site.Reader, s.evaluateAll),
		site.Post(bulkPath+"/:key", site.Reader, s.evaluateOne),
		site.Get(streamPath, site.Ticket, s.stream),
		site.Get("/api/v1/flags/definition", site.Worker, s.definition),
		site.Post("/api/v1/workers/attest", site.Worker, s.attest),
	}
}

// Is reports whether flags are asked for, where errors have the protocol's own form.
func Is(c *fiber.Ctx) bool { return strings.HasPrefix(c.Path(), Prefix) }

// Receive raises the limit of a request body for flags, before the body is read.
func Receive(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if strings.HasPrefix(string(h.RequestURI()), Prefix) { // does not allocate
		return fasthttp.RequestConfig{MaxRequestBodySize: BodyLimit}
	}
	return fasthttp.RequestConfig{}
}

// Enter sets the headers of an answer about flags, and reports whether that answers the
// request. Every worker asks every second, so it does only what such an answer needs: no
// request id unless something fails, and no headers that protect documents.
func (s *Server) Enter(c *fiber.Ctx) (answered bool) {
	h := &c.Response().Header
	h.SetCanonical(headerSniff, valueNoSniff)
	h.SetCanonical(headerCache, valueNoStore)
	if s.site.SecureCookies {
		h.Set(fiber.HeaderStrictTransportSecurity, site.StrictTransport)
	}
	s.cors(c)
	return s.preflight(c)
}

// Count counts an answered request for flags.
func (s *Server) Count(c *fiber.Ctx, took time.Duration) { s.traffic.count(c, took) }

func (s *Server) evaluateAll(c *fiber.Ctx) error {
	if err := jsonOnly(c); err != nil {
		return err
	}
	r := readerOf(c)
	held := c.Get(fiber.HeaderIfNoneMatch)
	if r.ID == "" { // a person: no worker to list, and no stream
		ask := flags.Request{IfNoneMatch: held, Body: c.Request().Body()}
		return send(c, s.readers.Flags.EvaluateAll(r.Set, ask))
	}
	who := whoAsks(c, r)
	window := s.streams.window(who)
	ask := flags.Request{IfNoneMatch: window.strip(held), Body: c.Request().Body()}
	a := flags.Response{Status: http.StatusOK}
	if held != "" { // mostly nothing has changed, and no token is needed
		a = s.readers.Flags.EvaluateAll(r.Set, ask)
	}
	if a.Status == http.StatusOK {
		ask.Streams = s.streams.advertise(r, who, window)
		a = s.readers.Flags.EvaluateAll(r.Set, ask)
	}
	a.ETag = window.mark(a.ETag)
	revision := flags.HeldRevision(held)
	said := revision > 0
	if a.Status == http.StatusOK && c.Context().QueryArgs().Has("flagConfigEtag") {
		// Fetched because its stream said so: it does not come again to say what it holds.
		revision, said = a.Revision, false
	}
	s.readers.Fleet.Poll(who, revision, said)
	return send(c, a)
}

func (s *Server) evaluateOne(c *fiber.Ctx) error {
	if err := jsonOnly(c); err != nil {
		return err
	}
	r := readerOf(c)
	if r.ID != "" {
		s.readers.Fleet.Poll(whoAsks(c, r), 0, true)
	}
	return send(c, s.readers.Flags.EvaluateOne(r.Set, flagKey(c), c.Request().Body()))
}

// flagKey is the key in the path, with its slashes; empty for other paths.
func flagKey(c *fiber.Ctx) string {
	raw, ok := strings.CutPrefix(c.Path(), bulkPath+"/")
	if !ok {
		return ""
	}
	if key, err := url.PathUnescape(raw); err == nil {
		return key
	}
	return raw
}

// jsonOnly refuses what says that it is something else; saying nothing is fine.
func jsonOnly(c *fiber.Ctx) error {
	given := c.Request().Header.ContentType()
	if len(given) == 0 {
		return nil
	}
	media, _, _ := bytes.Cut(given, []byte(";"))
	// Converting does not allocate here.
	if strings.EqualFold(string(bytes.TrimSpace(media)), fiber.MIMEApplicationJSON) {
		return nil
	}
	return migration.Errorf(migration.Invalid,
		"the request's content type is not %s: send the context as JSON",
		fiber.MIMEApplicationJSON)
}

func send(c *fiber.Ctx, r flags.Response) error {
	h := &c.Response().Header
	if r.ETag != "" {
		h.SetCanonical(headerETag, []byte(r.ETag))
	}
	if r.ContentType != "" {
		h.SetContentType(r.ContentType)
	}
	if r.RetryAfter > 0 {
		h.Set(fiber.HeaderRetryAfter, strconv.Itoa(r.RetryAfter))
	}
	c.Status(r.Status)
	c.Response().SetBodyRaw(r.Body) // shared between answers, and only read
	return nil
}

// Fail answers an error in OFREP's own form; official clients do not understand one without
// errorCode.
func (s *Server) Fail(c *fiber.Ctx, err error) error {
	f := site.Explain(err)
	if f.Status >= http.StatusInternalServerError && f.Status != http.StatusServiceUnavailable {
		s.site.LogFailure(c, f, err) // workers ask every second: /metrics counts the others
	}
	code := "GENERAL"
	if f.Status == http.StatusRequestEntityTooLarge { // which the protocol does not know
		f.Status, code = http.StatusBadRequest, "INVALID_CONTEXT"
		f.Text = fmt.Sprintf("The request body is larger than %d bytes", flags.MaxBody)
	}
	s.site.Refuse(c, f)
	s.cors(c) // also where the request was refused before anything looked at it
	site.Challenge(c, f)
	return c.JSON(struct {
		Key     string `json:"key,omitempty"`
		Code    string `json:"errorCode"`
		Details string `json:"errorDetails"`
	}{flagKey(c), code, f.Text})
}

// Attributes reads what was evaluated back from the answer, for a span: that costs only the few
// requests that are sampled.
func Attributes(c *fiber.Ctx) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.FeatureFlagProviderName("switchyard")}
	if r := readerOf(c); r != nil {
		attrs = append(attrs, semconv.FeatureFlagSetID(r.Set))
	}
	key := flagKey(c)
	if key == "" {
		return attrs
	}
	attrs = append(attrs, semconv.FeatureFlagKey(key))
	var a struct{ Variant, Reason, ErrorCode string }
	if json.Unmarshal(c.Response().Body(), &a) != nil {
		return attrs
	}
	if a.Variant != "" {
		attrs = append(attrs, semconv.FeatureFlagResultVariant(a.Variant))
	}
	if a.ErrorCode != "" {
		return append(attrs, semconv.FeatureFlagResultReasonError,
			semconv.ErrorTypeKey.String(strings.ToLower(a.ErrorCode)))
	}
	return append(attrs, semconv.FeatureFlagResultReasonKey.String(strings.ToLower(a.Reason)))
}
