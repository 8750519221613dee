// Package httpapi makes JSON requests to the documented HTTP APIs of providers. It knows
// deadlines, size limits, rate limits and how to keep credentials out of errors; it knows
// no API. It never follows a redirect, since that could carry a credential elsewhere, and
// never repeats a request that may have taken effect: only one that reads, and one that got
// a 429, which says that it has not.
package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// MaxResponse bounds an answer, in bytes; a longer one is an error.
	MaxResponse = 4 << 20
	// Timeout bounds one request, the reading of its answer included, unless Client.Timeout
	// says otherwise.
	Timeout = 20 * time.Second
	// MaxWait bounds the wait that a 429 may ask for before one attempt; a longer one is
	// reported instead of waited for.
	MaxWait = 30 * time.Second
	// maxAttempts counts the first request too.
	maxAttempts = 3
	// defaultWait is the wait after a 429 that names none, readWait the first one before a
	// read is repeated.
	defaultWait = time.Second
	readWait    = 200 * time.Millisecond
)

// Error is an answer that is not the expected one. Its text holds no credential.
type Error struct {
	API        string        // whose answer, such as "upstash"
	Call       string        // method and path
	Status     int           // HTTP status
	Message    string        // what the provider says
	RetryAfter time.Duration // with 429, when the provider named it; else 0
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf(
		"%s answered %d %s to %s",
		e.API,
		e.Status,
		http.StatusText(e.Status),
		e.Call,
	)
	if e.Message != "" {
		text += ": " + e.Message
	}
	switch {
	case e.Status == http.StatusTooManyRequests && e.RetryAfter > 0:
		text += fmt.Sprintf(" (rate limit: try again in %s)", migration.Words(e.RetryAfter))
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		text += " (check the credentials of " + e.API + " and what they permit)"
	}
	return text
}

// Status gives the HTTP status of an Error in err's chain; 0 if there is none, as when no
// answer came and the outcome of the request is unknown.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// Client speaks to one API. Make it a struct literal; Base and API are required.
type Client struct {
	API    string       // name for errors
	Base   string       // URL that paths are appended to
	HTTP   *http.Client // nil: a client of its own
	Header http.Header  // sent with every request
	// Email and Key are sent as HTTP Basic when Email is set, else Key is sent as a Bearer
	// token when set.
	Email string
	Key   migration.Secret
	// PlainHTTP allows sending Key over http to a host other than loopback, for a service
	// inside the same network.
	PlainHTTP bool
	Timeout   time.Duration // of one request; 0: Timeout
	// Received is called with the headers of every answer; nil: nobody wants them.
	Received func(http.Header)
}

// Do sends in as JSON (nil: no body) and decodes the answer into out (nil: the answer is
// dropped). Any status but 2xx is an *Error. Other errors mean that no complete answer
// came: what a changing request did is then unknown.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	status, body, err := c.Send(ctx, method, path, in)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return c.refusal(method, path, status, body, 0)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		// Not %w and not the body: either may quote a password out of the answer.
		return fmt.Errorf(
			"%s: the answer to %s %s is not the documented JSON (%d bytes)",
			c.API,
			method,
			path,
			len(body),
		)
	}
	return nil
}

// Send is Do for calls with more than one good status: it gives status and body as they
// are. A 429 is retried within bounds and is then an *Error. A GET is also repeated, within
// the same bounds, when it got a 5xx or the connection broke; not when it timed out.
func (c *Client) Send(
	ctx context.Context,
	method, path string,
	in any,
) (status int, body []byte, err error) {
	var payload []byte
	if in != nil {
		if payload, err = json.Marshal(in); err != nil {
			return 0, nil, fmt.Errorf("%s: encode the request %s %s: %w", c.API, method, path, err)
		}
	}
	for attempt := 1; ; attempt++ {
		status, header, body, err := c.once(ctx, method, path, payload)
		wait, named := time.Duration(0), false
		if err == nil {
			wait, named = retryAfter(header.Get("Retry-After"), time.Now())
		}
		var refusal error
		switch {
		case err == nil && status == http.StatusTooManyRequests:
			if refusal = c.refusal(method, path, status, body, wait); !named {
				wait = defaultWait
			}
		case method == http.MethodGet && ctx.Err() == nil && (err != nil && broke(err) || status >= 500):
			if refusal = err; !named {
				wait = readWait << (attempt - 1)
			}
		default:
			return status, body, err
		}
		if attempt == maxAttempts || wait > MaxWait {
			if status == http.StatusTooManyRequests {
				return 0, nil, refusal
			}
			return status, body, err
		}
		if ended := Pause(ctx, wait); ended != nil {
			return 0, nil, errors.Join(refusal, ended)
		}
	}
}

// Pause waits that long, or returns the cause of ctx when that ends first. The clients of
// APIs use it in retry loops of their own, not a library: the API names the wait, one that
// is too long is reported with what the API said, and the last attempt's answer is a
// result.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// broke reports whether a connection ended before the answer was complete, as opposed to
// one that took too long or was never tried.
func broke(err error) bool {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return false
	}
	op, isOp := errors.AsType[*net.OpError](err)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isOp && op.Op != "dial"
}

func (c *Client) once(
	ctx context.Context,
	method, path string,
	payload []byte,
) (int, http.Header, []byte, error) {
	limit := c.Timeout
	if limit == 0 {
		limit = Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(
		ctx,
		method,
		strings.TrimSuffix(c.Base, "/")+path,
		bytes.NewReader(payload),
	)
	if err != nil {
		return 0, nil, nil, c.scrub(fmt.Sprintf("%s %s", method, path), err)
	}
	if !c.Key.IsZero() && !c.PlainHTTP && !Confidential(req.URL) {
		return 0, nil, nil, fmt.Errorf(
			"%s: %s://%s is not https: credentials are not sent in the clear",
			c.API,
			req.URL.Scheme,
			req.URL.Host,
		)
	}
	req.Header.Set("Accept", "application/json")
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	switch {
	case c.Email != "":
		req.SetBasicAuth(c.Email, c.Key.Reveal())
	case !c.Key.IsZero():
		req.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return 0, nil, nil, c.scrub(fmt.Sprintf("%s %s", method, path), err)
	}
	defer resp.Body.Close()
	if c.Received != nil {
		c.Received(resp.Header)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if err != nil {
		return 0, nil, nil, c.scrub(fmt.Sprintf("%s %s", method, path), err)
	}
	if len(body) > MaxResponse {
		return 0, nil, nil, fmt.Errorf(
			"%s: the answer to %s %s is larger than %d bytes",
			c.API,
			method,
			path,
			MaxResponse,
		)
	}
	return resp.StatusCode, resp.Header, body, nil
}

func (c *Client) client() *http.Client {
	hc := http.Client{}
	if c.HTTP != nil {
		hc = *c.HTTP
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &hc
}

// scrub names the call and drops the URL, which may carry user information; the cause stays
// for errors.Is.
func (c *Client) scrub(call string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%s: %s: %w", c.API, call, err)
}

func (c *Client) refusal(method, path string, status int, body []byte, wait time.Duration) *Error {
	return &Error{
		API:        c.API,
		Call:       method + " " + path,
		Status:     status,
		Message:    c.message(body),
		RetryAfter: wait,
	}
}

// message reads what the provider says out of an error body: {"message"}, {"error"}, a JSON
// string, or short plain text.
func (c *Client) message(body []byte) string {
	var object struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	var text string
	switch {
	case json.Unmarshal(body, &object) == nil && object.Message != "":
		text = object.Message
	case object.Error != "":
		text = object.Error
	case json.Unmarshal(body, &text) == nil:
	case !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		text = string(body)
	}
	// a server that echoes the request must not get it into our log
	if key := c.Key.Reveal(); key != "" {
		text = strings.ReplaceAll(text, key, "redacted")
		text = strings.ReplaceAll(
			text,
			base64.StdEncoding.EncodeToString([]byte(c.Email+":"+key)),
			"redacted",
		)
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// retryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) (wait time.Duration, named bool) {
	if value == "" {
		return 0, false
	}
	if s, err := strconv.Atoi(value); err == nil && s >= 0 {
		return time.Duration(min(s, 1<<30)) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// Confidential reports whether a credential may be sent to u: over https, or to this machine.
func Confidential(u *url.URL) bool {
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
