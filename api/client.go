package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/switchyard-dev/switchyard/migration"
)

// Client speaks to one server. It is not safe for concurrent use while SignIn runs.
type Client struct {
	base     string
	token    migration.Secret
	actor    migration.Actor
	http     *http.Client
	patience time.Duration
}

// Patience is how long a new client goes on trying while the server does not answer.
const Patience = 30 * time.Second

// New returns a client for the server at base, such as http://127.0.0.1:8080. token may be empty until SignIn.
func New(base string, token migration.Secret) *Client {
	return &Client{
		base: strings.TrimRight(base, "/"), token: token, patience: Patience,
		http: &http.Client{
			Timeout:       20 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// WithPatience returns a copy that goes on trying for d. Zero tries once.
func (c *Client) WithPatience(d time.Duration) *Client {
	copied := *c
	copied.patience = d
	return &copied
}

// Token is the session's token, to keep for later commands.
func (c *Client) Token() migration.Secret { return c.token }

// errLost marks a request of which it is not known whether the server acted on it.
var errLost = errors.New("no answer")

// call sends one request and decodes its answer into out (nil: none is expected). An
// error is a *migration.Error; when no answer came it wraps errLost.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request for %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return migration.Errorf(migration.Invalid, "address of the server: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s %s: %w", method, path, cause)
		}
		return migration.Errorf(
			migration.Unavailable,
			"%s %s: %w (%v)",
			method,
			c.base+path,
			errLost,
			errors.Unwrap(err),
		)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return migration.Errorf(
			migration.Unavailable,
			"%s %s: %w (the answer broke off: %v)",
			method,
			c.base+path,
			errLost,
			err,
		)
	}
	if resp.StatusCode >= 300 {
		return problem(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not readable: %w", method, path, err)
	}
	return nil
}

// problemError carries the open run that a refusal names.
type problemError struct {
	error
	status int
	runID  string
}

func (e *problemError) Unwrap() error { return e.error }

func problem(resp *http.Response, body []byte) error {
	var p Problem
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/problem+json" ||
		json.Unmarshal(body, &p) != nil ||
		p.Kind == "" {
		p.Kind, p.Detail = migration.Internal, "the server answered "+resp.Status
		if resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable ||
			resp.StatusCode == http.StatusGatewayTimeout {
			p.Kind = migration.Unavailable
		}
	}
	err := migration.Errorf(p.Kind, "%s", p.Detail)
	if e, ok := errors.AsType[*migration.Error](err); ok {
		e.Blockers = p.Blockers
	}
	return &problemError{err, resp.StatusCode, p.RunID}
}

// passing reports whether an error may be gone a moment later: no answer, or a server that says so of itself.
func passing(err error) bool {
	if errors.Is(err, errLost) {
		return true
	}
	p, ok := errors.AsType[*problemError](err)
	return ok &&
		(p.status == http.StatusBadGateway || p.status == http.StatusServiceUnavailable ||
			p.status == http.StatusGatewayTimeout)
}

// try repeats do until it succeeds, fails for good, or patience ends.
func (c *Client) try(ctx context.Context, do func() error) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if last = do(); last != nil && !passing(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 50 * time.Millisecond, MaxInterval: 2 * time.Second,
		Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}), backoff.WithMaxElapsedTime(max(c.patience, 1))) // 0 would mean without end
	if err != nil && !errors.Is(err, last) { // ctx ended between two attempts
		return errors.Join(err, last)
	}
	return err
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.try(ctx, func() error { return c.call(ctx, http.MethodGet, path, nil, out) })
}

// verb sends something that must take effect once. When the answer is lost, landed looks
// whether it did, before it is sent again.
func (c *Client) verb(
	ctx context.Context,
	path string,
	in any,
	landed func() (migration.Run, bool, error),
) (migration.Run, error) {
	var run migration.Run
	lost := false
	err := c.try(ctx, func() error {
		if lost {
			r, ok, err := landed()
			if err != nil {
				return err
			}
			if ok {
				run = r
				return nil
			}
		}
		err := c.call(ctx, http.MethodPost, path, in, &run)
		lost = errors.Is(err, errLost)
		if err != nil && !lost {
			// An answer came, so nothing is in doubt: 503 here means that the server refused.
			return &finalError{err}
		}
		return err
	})
	if f, ok := errors.AsType[*finalError](err); ok {
		return run, f.err
	}
	return run, err
}

// finalError keeps try from repeating; it does not unwrap, so that passing does not see what is inside.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }

func at(mid string, parts ...string) string {
	p := "/api/v1/migrations/" + url.PathEscape(mid)
	for _, s := range parts {
		p += "/" + url.PathEscape(s)
	}
	return p
}

func runPath(id string, parts ...string) string {
	p := "/api/v1/runs/" + url.PathEscape(id)
	for _, s := range parts {
		p += "/" + s
	}
	return p
}
