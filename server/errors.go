package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web"
)

// statuses is the one place where kinds of errors become statuses.
var statuses = map[migration.Kind]int{
	migration.Invalid:         http.StatusBadRequest,
	migration.NotFound:        http.StatusNotFound,
	migration.Conflict:        http.StatusConflict,
	migration.Blocked:         http.StatusPreconditionFailed,
	migration.Forbidden:       http.StatusForbidden,
	migration.Unauthenticated: http.StatusUnauthorized,
	migration.Unavailable:     http.StatusServiceUnavailable,
	migration.Internal:        http.StatusInternalServerError,
}

var titles = map[int]string{
	http.StatusBadRequest:            "That request cannot be understood",
	http.StatusUnauthorized:          "You are not signed in",
	http.StatusForbidden:             "You may not do this",
	http.StatusNotFound:              "There is nothing here",
	http.StatusMethodNotAllowed:      "That is not possible here",
	http.StatusConflict:              "Somebody was faster, or things have changed",
	http.StatusPreconditionFailed:    "Preconditions do not hold",
	http.StatusRequestEntityTooLarge: "That is too much at once",
	http.StatusTooManyRequests:       "That is too often",
	http.StatusServiceUnavailable:    "Something we depend on does not answer",
	http.StatusInternalServerError:   "Something went wrong on our side",
}

// closeSilently closes a connection on which no whole request came in time, without an answer (RFC 9112, section 9.5). The client may be sending
// its first request at this moment: it would take a 408 for the answer, while a closed connection makes it try again.
func closeSilently(next func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(c *fasthttp.RequestCtx, err error) {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			_ = c.Conn().Close() // what is written from here on goes nowhere
			return
		}
		next(c, err)
	}
}

// failure is an error as the outside may see it.
type failure struct {
	status int
	kind   migration.Kind
	text   string
	gates  []migration.Gate
	runID  string
	after  int // seconds until it may be tried again; 0: not said
}

// tooManyError refuses who asks more often than it may.
type tooManyError struct {
	after int // seconds
	text  string
}

// Error implements error.
func (e *tooManyError) Error() string { return e.text }

// inTheWayError adds the open run to a conflict, so that a program can tell its own from somebody else's.
type inTheWayError struct {
	error
	runID string
}

func (e *inTheWayError) Unwrap() error { return e.error }

// explain decides what the outside may see of an error. Only texts written for people pass; everything else is Internal.
func explain(err error) failure {
	var f failure
	if e, ok := errors.AsType[*migration.Error](err); ok && e.Kind != migration.Internal {
		f = failure{kind: e.Kind, status: statuses[e.Kind], text: e.Text, gates: e.Blockers}
	} else if e, ok := errors.AsType[*tooManyError](err); ok {
		f = failure{kind: migration.Unavailable, status: http.StatusTooManyRequests, text: e.text, after: e.after}
	} else if e, ok := errors.AsType[*fiber.Error](err); ok && e.Code < 500 {
		f = failure{kind: migration.Invalid, status: e.Code, text: titles[e.Code]}
		switch e.Code {
		case http.StatusNotFound:
			f.kind, f.text = migration.NotFound, "The address is wrong, or what it named is gone."
		case http.StatusMethodNotAllowed:
			f.text = "This address does not take that method."
		case http.StatusRequestEntityTooLarge:
			f.text = fmt.Sprintf("A request may have at most %d bytes.", bodyLimit)
		}
	} else if errors.Is(err, context.DeadlineExceeded) {
		f = failure{kind: migration.Unavailable, status: http.StatusServiceUnavailable, text: fmt.Sprintf("It took longer than %s. Nothing more was tried; look at the present state before you try again.", migration.Words(answerTimeout))}
	} else {
		f = failure{kind: migration.Internal, status: http.StatusInternalServerError, text: "It was logged. If it happens again, give your operator the request id."}
	}
	if f.status == http.StatusServiceUnavailable {
		f.after = 1
	}
	if w, ok := errors.AsType[*inTheWayError](err); ok {
		f.runID = w.runID
	}
	if f.text == "" {
		f.text = http.StatusText(f.status)
	}
	return f
}

// fail answers an error: problem+json for programs, a message over the page for its script, a readable page for people.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	f := explain(err)
	s.protect(c)
	id := requestID(c)
	if f.status >= 500 && (f.status != http.StatusServiceUnavailable || !isFlags(c)) { // workers ask every second: /metrics counts them
		s.log.Error("request failed", "request", id, "method", c.Method(), "path", c.Path(), "status", f.status, "err", err)
	}
	c.Status(f.status)
	if f.after > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(f.after))
	}
	title := titles[f.status]
	if title == "" {
		title = http.StatusText(f.status)
	}
	switch {
	case isAPI(c):
		if f.status == http.StatusUnauthorized {
			c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="switchyard"`)
		}
		return s.problem(c, api.Problem{Type: "about:blank", Title: title, Status: f.status, Detail: f.text, Kind: f.kind, Blockers: f.gates, RunID: f.runID, RequestID: id})
	case isFlags(c):
		s.cors(c) // also where the request was refused before anything looked at it
		return ofrepError(c, f)
	}
	v := web.Failure{Status: f.status, Title: title, Text: f.text, Gates: f.gates, RequestID: id}
	if isFragment(c) {
		// The page stays as it is; without this the error would replace it.
		c.Set("HX-Retarget", "#toasts")
		c.Set("HX-Reswap", "innerHTML")
		return send(c, web.Toast(v))
	}
	return send(c, web.Bare(web.Frame{Title: title, Theme: themeOf(c)}, web.FailurePage(v)))
}

func (s *Server) problem(c *fiber.Ctx, p api.Problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode problem: %w", err)
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Send(body)
}
