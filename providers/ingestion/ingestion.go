// Package ingestion is a client of the control endpoints that an ingestion app built on
// @switchyard/bullmq serves: its journal of what happened to every order, a canary job, and
// health. It never sends orders.
package ingestion

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// Client talks to one ingestion app. It is safe for concurrent use.
type Client struct {
	api httpapi.Client
}

// New returns a client for the app at base, such as http://ingestion:3000. hc may be nil.
// The app is part of the same deployment, so plain http is allowed.
func New(base string, token migration.Secret, hc *http.Client) *Client {
	return &Client{
		httpapi.Client{API: "ingestion", Base: base, Key: token, HTTP: hc, PlainHTTP: true},
	}
}

// Journal is one page of the app's append-only journal.
type Journal struct {
	// Epoch names the journal itself: when it changes, another one answered, which counts
	// from 1 too. It may be another instance's, or that of a new disk.
	Epoch string `json:"epoch"`
	// Instance is whose journal it is, as it attests itself; Instances are others that write
	// into the same one. Empty: an older app, which does not tell.
	Instance  string   `json:"instance"`
	Instances []string `json:"instances"`
	// Next is the sequence number to pass as after for the following page.
	Next int64 `json:"next"`
	// Events are JSON objects with at least seq, at (unix milliseconds) and type, in
	// ascending seq, none left out. They are left encoded: the reader knows the types it
	// wants.
	Events []json.RawMessage `json:"events"`
	// Intake is the app's durable intake as of the end of the journal; empty where it has none.
	Intake Intake `json:"intake"`
	// Now is the app's clock as it answered, unix ms; 0: an older app.
	Now   int64 `json:"now"`
	Clock Clock `json:"-"` // made of it, or of the answer's date
}

// Clock is the app's against ours, as one answer shows it.
type Clock struct {
	Known bool
	Ahead time.Duration // of ours; negative: behind
	// Within is how far that may be off: the answer was under way.
	Within time.Duration
}

// Off is by how much the two clocks differ for certain.
func (c Clock) Off() time.Duration { return max(0, c.Ahead.Abs()-c.Within) }

func clockOf(now int64, date string, asked, answered time.Time) Clock {
	half := answered.Sub(asked) / 2
	c := Clock{Known: true, Within: half}
	at := time.UnixMilli(now)
	if now == 0 { // the date is cut to seconds
		var err error
		if at, err = http.ParseTime(date); err != nil {
			return Clock{}
		}
		c.Within += time.Second / 2
		at = at.Add(time.Second / 2)
	}
	c.Ahead = at.Sub(asked.Add(half))
	return c
}

// Cursor is how far a journal was read.
type Cursor struct {
	Epoch string
	After int64
}

// Intake is what waits in an app's durable intake.
type Intake struct {
	Backlog  int   `json:"backlog"`  // events on disk that are not enqueued
	OldestAt int64 `json:"oldestAt"` // when the oldest of them came, unix ms; 0: there is none
}

// Journal returns up to limit events after sequence number after. No events means that the
// end is reached. Where instances answer in turn, each begins at its own cursor, or at its
// first event when it has none; an older app knows after alone, and begins there whichever
// instance answers.
func (c *Client) Journal(
	ctx context.Context, after int64, limit int, cursors ...Cursor,
) (Journal, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	for _, at := range cursors {
		query.Add("cursor", at.Epoch+":"+strconv.FormatInt(at.After, 10))
	}
	var page Journal
	var date string
	api := c.api
	api.Received = func(h http.Header) { date = h.Get("Date") }
	asked := time.Now()
	err := api.Do(ctx, http.MethodGet, "/switchyard/journal?"+query.Encode(), nil, &page)
	if err != nil {
		return Journal{}, fmt.Errorf("journal after %d: %w", after, err)
	}
	page.Clock = clockOf(page.Now, date, asked, time.Now())
	// Events that do not advance would make the reader loop forever. Without events next
	// may be anything: the journal of a new epoch may be shorter than what was read of the
	// old one.
	if page.Epoch == "" || len(page.Epoch) > maxName || len(page.Instance) > maxName ||
		len(page.Events) > 0 && page.Next <= after && len(cursors) == 0 {
		return Journal{}, fmt.Errorf(
			"journal after %d: the app answered epoch %.40q, next %d with %d events",
			after,
			page.Epoch,
			page.Next,
			len(page.Events),
		)
	}
	return page, nil
}

// maxName bounds the names of journals and instances, in bytes.
const maxName = 200

// CanaryResult is what became of a canary job at the app's enqueue path.
type CanaryResult struct {
	Status   int    `json:"status"`   // 200: accepted; 503: refused by the breaker
	MS       int64  `json:"ms"`       // milliseconds inside the app
	Queue    string `json:"queue"`    // that it was added to; "" from an app that does not tell
	Side     string `json:"side"`     // source or target
	Endpoint string `json:"endpoint"` // standalone, sentinel or managed
	Error    string `json:"error"`
	// RoundTrip is the time a sender of a webhook would have waited, measured here.
	RoundTrip time.Duration `json:"-"`
	// Refused is why the app adds nothing to this queue (422); then nothing was added.
	Refused string `json:"-"`
}

// Canary sends a job through the same path as an order of a queue, without effect. A refusal
// (503) is a result, not an error; an error means that the app gave no such answer.
func (c *Client) Canary(ctx context.Context, id, queue string) (CanaryResult, error) {
	start := time.Now()
	status, body, err := c.api.Send(
		ctx,
		http.MethodPost,
		"/switchyard/canary",
		map[string]string{"id": id, "queue": queue},
	)
	took := time.Since(start)
	if err != nil {
		return CanaryResult{}, fmt.Errorf("canary %s: %w", id, err)
	}
	var res CanaryResult
	if status == http.StatusUnprocessableEntity {
		return CanaryResult{Status: status, Refused: refusal(body)}, nil
	}
	if status != http.StatusOK && status != http.StatusServiceUnavailable ||
		json.Unmarshal(body, &res) != nil {
		return CanaryResult{}, fmt.Errorf(
			"canary %s: the app answered status %d, want 200 or 503 with a result",
			id,
			status,
		)
	}
	res.Status, res.RoundTrip = status, took
	return res, nil
}

// refusal is the reason that the app gives.
func refusal(body []byte) string {
	var said struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &said) // it may be text
	return cmp.Or(said.Error, "it does not say why")
}

// DrillOpened is what the app made of the opening of a producer for a drill.
type DrillOpened struct {
	Ready bool `json:"ready"` // connected within the app's patience
	// the app acknowledges from disk: DrillOpen can ask for that too
	Intake bool `json:"intake"`
	// which of the app's instances has it; "" where it does not tell
	Instance string `json:"instance"`
	// Refused is why the app makes no producer of this queue (422); then nothing is open.
	Refused string `json:"-"`
}

// DrillOpen has the app make a producer of its own kind for one of its queues, to a Redis
// of the drill's, named id; with intake, behind a durable intake in a folder of its own. An
// app that knows no drills answers 404.
func (c *Client) DrillOpen(
	ctx context.Context,
	id, queue string,
	address migration.Secret,
	intake bool,
) (DrillOpened, error) {
	in := struct {
		Op     string `json:"op"`
		ID     string `json:"id"`
		Queue  string `json:"queue"`
		URL    string `json:"url"`
		Intake bool   `json:"intake"`
	}{"open", id, queue, address.Reveal(), intake}
	var out DrillOpened
	err := c.api.Do(ctx, http.MethodPost, drillPath, in, &out)
	if refusal, ok := errors.AsType[*httpapi.Error](err); ok &&
		refusal.Status == http.StatusUnprocessableEntity {
		return DrillOpened{Refused: refusal.Message}, nil
	}
	if err != nil {
		return DrillOpened{}, fmt.Errorf("drill %s: %w", id, err)
	}
	return out, nil
}

// DrillRestart does to the producer and the intake of a drill what a restart of the app's
// process would. The intake's folder stays.
func (c *Client) DrillRestart(ctx context.Context, id string) error {
	return c.drill(ctx, "restart", id, nil)
}

// DrillBacklog is what an intake of a drill has not delivered.
type DrillBacklog struct {
	Backlog int `json:"backlog"` // events on disk
	// of the last delivery that failed; "" while none has since the start
	Failure string `json:"failure"`
}

// DrillBacklog asks for it.
func (c *Client) DrillBacklog(ctx context.Context, id string) (out DrillBacklog, err error) {
	err = c.drill(ctx, "backlog", id, &out)
	return out, err
}

func (c *Client) drill(ctx context.Context, op, id string, out any) error {
	if err := c.api.Do(ctx, http.MethodPost, drillPath, map[string]string{"op": op, "id": id}, out); err != nil {
		return fmt.Errorf("drill %s: %w", id, err)
	}
	return nil
}

// DrillAdd adds a job over such a producer. Any status that the app answers is a result; an
// error means that it gave no answer.
func (c *Client) DrillAdd(ctx context.Context, id, job string) (CanaryResult, error) {
	start := time.Now()
	status, body, err := c.api.Send(
		ctx,
		http.MethodPost,
		drillPath,
		map[string]string{"op": "add", "id": id, "job": job},
	)
	took := time.Since(start)
	if err != nil {
		return CanaryResult{}, fmt.Errorf("drill %s: %w", id, err)
	}
	var res CanaryResult
	if err := json.Unmarshal(body, &res); err != nil {
		return CanaryResult{}, fmt.Errorf(
			"drill %s: the app answered status %d without a result",
			id,
			status,
		)
	}
	res.Status, res.RoundTrip = status, took
	return res, nil
}

// DrillClose ends such a producer, and removes its intake's folder; one that is not open is
// no error.
func (c *Client) DrillClose(ctx context.Context, id string) error {
	return c.drill(ctx, "close", id, nil)
}

const drillPath = "/switchyard/drill"

// Replay gives the app a body of a provider's (its id as in webhooks.Sender) that never
// reached it, in the shape of the provider's webhook. The app takes it in as it does a
// webhook, so one that it has already is not doubled. A status other than 200 is a refusal
// with the app's reason, not an error; an error means that there was no answer.
func (c *Client) Replay(
	ctx context.Context,
	provider string,
	event json.RawMessage,
) (status int, reason string, err error) {
	status, body, err := c.api.Send(
		ctx,
		http.MethodPost,
		"/switchyard/replay?provider="+url.QueryEscape(provider),
		event,
	)
	if err != nil {
		return 0, "", fmt.Errorf("replay: %w", err)
	}
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // an answer without a reason has none to tell
	return status, answer.Error, nil
}

// Healthy returns nil when the app answers its health check.
func (c *Client) Healthy(ctx context.Context) error {
	return c.api.Do(ctx, http.MethodGet, "/healthz", nil, nil)
}
