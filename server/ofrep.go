package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
)

// The flags for workers, over OFREP 0.3.0. They are answered from memory: a worker must not lose its flags because our database is down.

const (
	flagsPath  = "/ofrep/"
	bulkPath   = "/ofrep/v1/evaluate/flags"
	streamPath = "/ofrep/v1/sse"

	readerKey = "reader"
	// ofrepBodyLimit is how much of a request body is read before the connection is given up. It is far above flags.MaxBody, so that who
	// sends too much gets the protocol's error instead of a broken connection.
	ofrepBodyLimit = 4 << 20
	// sessionTimeout bounds the look-up of a session: workers with keys never wait for it.
	sessionTimeout = 2 * time.Second
	// maxNameLen bounds each name that a worker gives itself, in bytes.
	maxNameLen = 200
)

// Headers of every request and answer, in the form in which they are stored.
var (
	headerService  = []byte("X-Worker-Service")
	headerInstance = []byte("X-Worker-Instance")
	headerVersion  = []byte("X-Worker-Version")
	headerSniff    = []byte(fiber.HeaderXContentTypeOptions)
	headerCache    = []byte(fiber.HeaderCacheControl)
	headerETag     = []byte("Etag")
	valueNoSniff   = []byte("nosniff")
	valueNoStore   = []byte("no-store")
)

// isFlags reports whether flags are asked for, where errors have the protocol's own form.
func isFlags(c *fiber.Ctx) bool { return strings.HasPrefix(c.Path(), flagsPath) }

// aroundFlags wraps requests for flags. Every worker asks every second, so it does only what such an answer needs: no request id unless
// something fails, and no headers that protect documents.
func (s *Server) aroundFlags(c *fiber.Ctx) (err error) {
	began := time.Now()
	span := s.startSpan(c)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "path", c.Path(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = migration.Errorf(migration.Internal, "panic")
		}
		if err != nil {
			err = s.fail(c, err)
		}
		took := time.Since(began)
		s.traffic.count(c.Response().StatusCode(), took)
		s.flagTraffic.count(c, took)
		endSpan(c, span)
	}()
	h := &c.Response().Header
	h.SetCanonical(headerSniff, valueNoSniff)
	h.SetCanonical(headerCache, valueNoStore)
	if s.opt.SecureCookies {
		h.Set(fiber.HeaderStrictTransportSecurity, strictTransport)
	}
	s.cors(c)
	if s.preflight(c) {
		return nil
	}
	return c.Next()
}

// receive raises the limit of a request body for flags, before the body is read.
func receive(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if strings.HasPrefix(string(h.RequestURI()), flagsPath) { // does not allocate
		return fasthttp.RequestConfig{MaxRequestBodySize: ofrepBodyLimit}
	}
	return fasthttp.RequestConfig{}
}

// admitReader finds whose flags are asked for: those of the key, or for a signed-in person those that route the orders.
func (s *Server) admitReader(c *fiber.Ctx) error {
	token := bearerBytes(c)
	var keyErr error
	if len(token) > 0 {
		var r *flags.Reader
		if r, keyErr = s.readers.Flags.Authenticate(token); keyErr == nil {
			c.Locals(readerKey, r)
			return s.allow(r)
		}
	}
	if !s.controlled.Load() {
		return cmp.Or(keyErr, migration.Errorf(migration.Unauthenticated, "send a key as Authorization: Bearer or as X-API-Key"))
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), sessionTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	id, err := s.identify(c)
	switch {
	case migration.KindOf(err) == migration.Unauthenticated && err != nil:
		return cmp.Or(keyErr, migration.Errorf(migration.Unauthenticated, "send a key as Authorization: Bearer or as X-API-Key"))
	case err != nil:
		return s.noAnswer(c, err)
	case id.cookie && !safe(c.Method()) && !validCSRF(c, id.token):
		return migration.Errorf(migration.Forbidden, "the request is not from this session's own page")
	}
	all, err := s.control.Migrations(ctx)
	if err != nil || len(all) == 0 {
		return s.noAnswer(c, err)
	}
	c.Locals(readerKey, &flags.Reader{Key: flags.Key{Set: all[0].ID}})
	return nil
}

// noAnswer is for a token that is nobody's key while it cannot be found out whether it is a session's: never 401 because of our database.
func (s *Server) noAnswer(c *fiber.Ctx, err error) error {
	s.log.Warn("a session could not be looked up", "path", c.Path(), "err", err)
	return migration.Errorf(migration.Unavailable, "this is no key, and whether it is a session cannot be found out now: the database does not answer")
}

// admitKey lets in who holds a key.
func (s *Server) admitKey(c *fiber.Ctx) error {
	token := bearerBytes(c)
	if len(token) == 0 {
		return migration.Errorf(migration.Unauthenticated, "send the worker token or another key as Authorization: Bearer or as X-API-Key")
	}
	r, err := s.readers.Flags.Authenticate(token)
	if err != nil {
		return err
	}
	c.Locals(readerKey, r)
	return nil
}

// allow takes a request off the key's rate.
func (s *Server) allow(r *flags.Reader) error {
	after, ok := r.Allow()
	if ok {
		return nil
	}
	s.flagTraffic.limited(r)
	return &tooManyError{after: after, text: fmt.Sprintf("this key may ask %d times a second: ask again after %d s, or give it a higher rate", r.RatePerSecond, after)}
}

// readerOf gives the reader that was let in; nil when nobody was.
func readerOf(c *fiber.Ctx) *flags.Reader {
	r, _ := c.Locals(readerKey).(*flags.Reader)
	return r
}

// whoAsks is the reader as it names itself, for the fleet.
func whoAsks(c *fiber.Ctx, r *flags.Reader) fleet.Who {
	return fleet.Who{Service: name(c, headerService), Instance: name(c, headerInstance), Version: name(c, headerVersion),
		Key: r.Name, Address: c.IP(), Set: r.Set}
}

// name reads a name that a worker gives itself, valid until the request has been answered: at most maxNameLen bytes of printable ASCII,
// else it counts as absent.
func name(c *fiber.Ctx, header []byte) string {
	v := c.Request().Header.PeekCanonical(header)
	if len(v) > maxNameLen {
		return ""
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return ""
		}
	}
	return utils.UnsafeString(v)
}

func (s *Server) ofrepAll(c *fiber.Ctx) error {
	if err := jsonOnly(c); err != nil {
		return err
	}
	r := readerOf(c)
	if r.ID == "" { // a person: no worker to list, and no stream
		return sendFlags(c, s.readers.Flags.EvaluateAll(r.Set, flags.Request{IfNoneMatch: c.Get(fiber.HeaderIfNoneMatch), Body: c.Request().Body()}))
	}
	who := whoAsks(c, r)
	window := s.streams.window(who)
	held := c.Get(fiber.HeaderIfNoneMatch)
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
	if a.Status == http.StatusOK && c.Context().QueryArgs().Has("flagConfigEtag") {
		// Fetched because its stream said so: it does not come again to say what it holds.
		revision = a.Revision
	}
	s.readers.Fleet.Poll(who, revision)
	return sendFlags(c, a)
}

func (s *Server) ofrepOne(c *fiber.Ctx) error {
	if err := jsonOnly(c); err != nil {
		return err
	}
	r := readerOf(c)
	if r.ID != "" {
		s.readers.Fleet.Poll(whoAsks(c, r), 0)
	}
	return sendFlags(c, s.readers.Flags.EvaluateOne(r.Set, flagKey(c), c.Request().Body()))
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
	if strings.EqualFold(string(bytes.TrimSpace(media)), fiber.MIMEApplicationJSON) { // does not allocate
		return nil
	}
	return migration.Errorf(migration.Invalid, "the request's content type is not %s: send the context as JSON", fiber.MIMEApplicationJSON)
}

func sendFlags(c *fiber.Ctx, r flags.Response) error {
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

// ofrepError answers in OFREP's own form; official clients do not understand an error without errorCode.
func ofrepError(c *fiber.Ctx, f failure) error {
	code := "GENERAL"
	if f.status == http.StatusRequestEntityTooLarge { // which the protocol does not know
		f.status, code = http.StatusBadRequest, "INVALID_CONTEXT"
		f.text = fmt.Sprintf("The request body is larger than %d bytes", flags.MaxBody)
	}
	c.Status(f.status)
	if f.status == http.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="switchyard"`)
	}
	return c.JSON(struct {
		Key     string `json:"key,omitempty"`
		Code    string `json:"errorCode"`
		Details string `json:"errorDetails"`
	}{flagKey(c), code, f.text})
}

// apiDefinition gives a key's whole set in flagd's format, for workers that evaluate by themselves from a file.
func (s *Server) apiDefinition(c *fiber.Ctx) error {
	r := readerOf(c)
	if err := s.allow(r); err != nil {
		return err
	}
	set, ok := s.readers.Flags.Held(r.Set)
	if !ok {
		return migration.Errorf(migration.Unavailable, "the flag set %s is not known yet: the database has not answered since the start and there is no last known good set", r.Set)
	}
	sum := sha256.Sum256(set.Definition)
	tag := fmt.Sprintf(`"%d-%s"`, set.Revision, hex.EncodeToString(sum[:8]))
	given := c.Get(fiber.HeaderIfNoneMatch)
	held := flags.HeldRevision(given)
	s.readers.Fleet.Poll(whoAsks(c, r), held)
	c.Set(fiber.HeaderETag, tag)
	// Nothing older may replace what a worker holds.
	if held > set.Revision || strings.Contains(given, tag) || strings.TrimSpace(given) == "*" {
		c.Status(http.StatusNotModified)
		return nil
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(set.Definition)
}
