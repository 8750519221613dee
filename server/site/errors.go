package site

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/web/ui"
)

const (
	// BodyLimit is the most bytes of a request.
	BodyLimit = 1 << 20
	// AnswerTimeout bounds the work for one request; the event stream is not bound by it.
	AnswerTimeout = 15 * time.Second
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
	http.StatusBadRequest:            "Request not valid",
	http.StatusUnauthorized:          "You are signed out",
	http.StatusForbidden:             "Not allowed",
	http.StatusNotFound:              "Page not found",
	http.StatusMethodNotAllowed:      "Not available at this address",
	http.StatusConflict:              "Changed in the meantime",
	http.StatusPreconditionFailed:    "Preconditions not met",
	http.StatusRequestEntityTooLarge: "Request too large",
	http.StatusTooManyRequests:       "Too many requests",
	http.StatusServiceUnavailable:    "No answer from a server that Switchyard needs",
	http.StatusInternalServerError:   "Internal error in Switchyard",
}

// Failure is an error as the outside may see it.
type Failure struct {
	Status int
	Kind   migration.Kind
	Text   string
	Gates  []migration.Gate
	RunID  string
	After  int // seconds until it may be tried again; 0: not said
}

// TooManyError refuses who asks more often than it may.
type TooManyError struct {
	After int // seconds
	Text  string
}

// Error implements error.
func (e *TooManyError) Error() string { return e.Text }

// InTheWayError adds the open run to a conflict, so that a program can tell its own from somebody
// else's.
type InTheWayError struct {
	Err   error
	RunID string
}

// Error implements error.
func (e *InTheWayError) Error() string { return e.Err.Error() }

// Unwrap gives the conflict.
func (e *InTheWayError) Unwrap() error { return e.Err }

// Explain decides what the outside may see of an error. Only texts written for people pass;
// everything else is Internal.
func Explain(err error) Failure {
	f := Failure{
		Kind: migration.Internal, Status: http.StatusInternalServerError,
		Text: "The error was logged. If it happens again, give the request ID to whoever " +
			"operates Switchyard.",
	}
	if e, ok := errors.AsType[*migration.Error](err); ok && e.Kind != migration.Internal {
		f = Failure{Kind: e.Kind, Status: statuses[e.Kind], Text: migration.Plain(e.Text),
			Gates: e.Blockers}
	} else if e, ok := errors.AsType[*TooManyError](err); ok {
		f = Failure{
			Kind: migration.Unavailable, Status: http.StatusTooManyRequests,
			Text: e.Text, After: e.After,
		}
	} else if e, ok := errors.AsType[*fiber.Error](err); ok && e.Code < 500 {
		f = ofFiber(e.Code)
	} else if text := unanswered(err); text != "" {
		f = Failure{
			Kind: migration.Unavailable, Status: http.StatusServiceUnavailable, Text: text,
		}
	}
	if f.Status == http.StatusServiceUnavailable {
		f.After = 1
	}
	if w, ok := errors.AsType[*InTheWayError](err); ok {
		f.RunID = w.RunID
	}
	if f.Text == "" {
		f.Text = http.StatusText(f.Status)
	}
	return f
}

// unanswered says for people that a server did not answer; "" when the error is about something
// else. Behind most pages that server is the database.
func unanswered(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("Timed out after %s.", migration.Words(AnswerTimeout))
	}
	_, network := errors.AsType[net.Error](err)
	if network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return "The connection to the database, or to another server, failed."
	}
	return ""
}

// ofFiber explains what the framework refuses by itself.
func ofFiber(status int) Failure {
	f := Failure{Kind: migration.Invalid, Status: status, Text: titles[status]}
	switch status {
	case http.StatusNotFound:
		f.Kind, f.Text = migration.NotFound, "The address is wrong, or the page no longer exists."
	case http.StatusMethodNotAllowed:
		f.Text = "This address does not take that method."
	case http.StatusRequestEntityTooLarge:
		f.Text = fmt.Sprintf("A request may have at most %d bytes.", BodyLimit)
	}
	return f
}

// Refuse sets what every refusal carries, in whichever form it is then written.
func (s *Site) Refuse(c *fiber.Ctx, f Failure) {
	s.Protect(c)
	RequestID(c)
	c.Status(f.Status)
	if f.After > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(f.After))
	}
}

// LogFailure keeps an error that is ours.
func (s *Site) LogFailure(c *fiber.Ctx, f Failure, err error) {
	s.Log.Error("request failed", "request", RequestID(c), "method", c.Method(),
		"path", c.Path(), "status", f.Status, "err", err, "cause", root(err))
}

// Fail answers an error: problem+json for programs, a message over the page for its script, a
// readable page for people.
func (s *Site) Fail(c *fiber.Ctx, err error) error {
	f := Explain(err)
	s.Refuse(c, f)
	if f.Status >= http.StatusInternalServerError {
		s.LogFailure(c, f, err)
	}
	title := titles[f.Status]
	if title == "" {
		title = http.StatusText(f.Status)
	}
	if isAPI(c) {
		return problem(c, title, f)
	}
	return s.tell(c, s.failure(c, title, f))
}

// root is what an error comes from: an error for people does not quote it.
func root(err error) error {
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(err) {
		err = cause
	}
	return err
}

// Challenge tells who may not be known how to say who they are.
func Challenge(c *fiber.Ctx, f Failure) {
	if f.Status == http.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="switchyard"`)
	}
}

func problem(c *fiber.Ctx, title string, f Failure) error {
	Challenge(c, f)
	if !Safe(c.Method()) && f.Status >= http.StatusInternalServerError && handled(c) {
		f.Text += " " + changed(c, f)
	}
	body, err := json.Marshal(api.Problem{
		Type: "about:blank", Title: title, Status: f.Status, Detail: f.Text, Kind: f.Kind,
		Blockers: f.Gates, RunID: f.RunID, RequestID: RequestID(c),
	})
	if err != nil {
		return fmt.Errorf("encode problem: %w", err)
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Send(body)
}

// Refused turns an error into a notice on the page, where a person can do something about it;
// every other error is returned. What a form named and is gone is such a notice, too: the page
// shows what there is instead, and is itself not found where it is what is gone.
func Refused(c *fiber.Ctx, title string, err error) (*ui.Notice, error) {
	f := Explain(err)
	switch f.Kind {
	case migration.Invalid, migration.Conflict, migration.Blocked, migration.NotFound:
		c.Status(f.Status)
		return &ui.Notice{Title: title, Text: f.Text, Gates: f.Gates}, nil
	case migration.Forbidden, migration.Unauthenticated, migration.Unavailable,
		migration.Internal:
	}
	return nil, err
}
