package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

// A storm of changes, workers and crashes.
const (
	changes = 160
	// what an outage delays is made up for: more than 200 a minute over all
	changeEvery  = 250 * time.Millisecond
	workers      = 200
	pollEvery    = 300 * time.Millisecond
	crashEvery   = 8 * time.Second
	historyPage  = 500
	changedFlag  = "generation"
	bulkEndpoint = "/ofrep/v1/evaluate/flags"
)

// TestNoWorkerSeesAnOlderRevision kills the server and its database while flags change
// and workers poll. No worker may be sent an older revision than it has seen, nor a
// value that its revision never had, and none may lose the value it has. Of the changes
// each that was acknowledged is in the history, and one that had to be repeated because
// its answer was lost is there once.
func TestNoWorkerSeesAnOlderRevision(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	p := newProgram(t, postgres.Database(t))
	p.startAndWait()
	admin := p.signIn()
	p.change(setGeneration(0))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	polling := make([]*poller, workers)
	for i := range polling {
		polling[i] = &poller{url: p.url() + bulkEndpoint, seen: map[int64]float64{}}
		wg.Go(func() { polling[i].run(ctx) })
	}
	made := changer{p: p, admin: admin, acknowledged: map[int64]float64{}}
	began := time.Now()
	var took time.Duration
	wg.Go(func() {
		defer cancel()
		made.run(ctx, began)
		took = time.Since(began)
	})
	crash(ctx, p, postgres)
	wg.Wait()

	p.waitServing()
	history := definitions(t, admin)
	made.check(t, history)
	var polls, lost int
	for i, w := range polling {
		polls, lost = polls+w.polls, lost+w.unanswered
		for _, mistake := range w.mistakes {
			t.Errorf("worker %d: %s", i, mistake)
		}
		if len(w.seen) == 0 {
			t.Errorf("worker %d never had a value", i)
		}
		for revision, value := range w.seen {
			if was, ok := history[revision]; !ok || was != value {
				t.Errorf(
					"worker %d saw %s = %v in revision %d; the history says %v (known: %t)", i,
					changedFlag, value, revision, was, ok)
			}
		}
	}
	t.Logf("%d polls of %d workers, %d without an answer; %d changes in %.1f s, %.0f a "+
		"minute: %d acknowledged, %d more found in the history, %d tries failed; %d revisions",
		polls, workers, lost, changes, took.Seconds(), changes/took.Minutes(),
		len(made.acknowledged), made.found, made.failed, len(history))
}

// changer makes changes one after the other, each until it is known to have happened.
type changer struct {
	p     *program
	admin *api.Client

	base          int64             // the revision that the next change is made from
	acknowledged  map[int64]float64 // value by revision
	found, failed int
}

func (c *changer) run(ctx context.Context, began time.Time) {
	for n := 1; n <= changes; n++ {
		if !tick(ctx, time.Until(began.Add(time.Duration(n)*changeEvery))) {
			return
		}
		for !c.make(ctx, n) {
			c.failed++
			if !tick(ctx, changeEvery/10) {
				return
			}
		}
	}
}

// make tries once, and reports whether the change is known to have happened. A conflict
// means that an earlier try had: nobody else changes anything here.
func (c *changer) make(ctx context.Context, n int) bool {
	revision, status, err := c.p.tryChange(ctx, c.base, setGeneration(n))
	switch {
	case err == nil:
		c.acknowledged[revision], c.base = float64(n), revision
		return true
	case status != http.StatusConflict:
		return false
	}
	now, err := c.admin.FlagSet(ctx, set, "")
	if err == nil {
		c.base = now.Revision
		c.found++
	}
	return err == nil
}

// check holds the changes against the history.
func (c *changer) check(t *testing.T, history map[int64]float64) {
	t.Helper()
	if got := len(c.acknowledged) + c.found; got != changes {
		t.Errorf("%d of %d changes were made", got, changes)
	}
	for revision, value := range c.acknowledged {
		if was, ok := history[revision]; !ok || was != value {
			t.Errorf("revision %d was acknowledged with %v; the history says %v (known: %t)",
				revision, value, was, ok)
		}
	}
	times := map[float64]int{}
	for _, value := range history {
		times[value]++
	}
	for n := range changes + 1 {
		if times[float64(n)] != 1 {
			t.Errorf("change %d is in the history %d times", n, times[float64(n)])
		}
	}
	first, last := slices.Min(slices.Collect(maps.Keys(history))),
		slices.Max(slices.Collect(maps.Keys(history)))
	if last-first+1 != int64(len(history)) {
		t.Errorf("%d revisions between %d and %d: some are missing", len(history), first, last)
	}
}

// crash kills the server again and again, and the database twice, until the context
// ends; then both are up.
func crash(ctx context.Context, p *program, postgres *pgtest.Server) {
	p.t.Helper()
	for n := 1; tick(ctx, crashEvery); n++ {
		if n <= 2 {
			postgres.Kill(p.t)
		}
		p.kill()
		p.start() // with no database on the first two: from the last known good file
		if n <= 2 {
			p.waitServing()
			postgres.Restart(p.t)
		}
	}
}

// poller is a worker that asks for all flags again and again and keeps what it got.
type poller struct {
	url string

	etag              string
	revision          int64
	seen              map[int64]float64 // the flag's value by revision
	polls, unanswered int
	mistakes          []string
}

func (w *poller) run(ctx context.Context) {
	for tick(ctx, pollEvery) {
		w.polls++
		status, header, body, err := exchange(ctx, w.url, token, w.etag, map[string]any{})
		switch {
		case err != nil: // the server is away; the worker goes on with what it has
			w.unanswered++
		case status == http.StatusServiceUnavailable && w.etag == "":
			w.unanswered++
		case status == http.StatusNotModified && w.etag != "":
		case status == http.StatusOK:
			w.take(header.Get("ETag"), body)
		default:
			w.mistake("answered %d %s", status, body)
		}
	}
}

func (w *poller) take(etag string, body []byte) {
	var bulk struct {
		Flags []struct {
			Key      string         `json:"key"`
			Value    any            `json:"value"`
			Metadata map[string]any `json:"metadata"`
		} `json:"flags"`
		Metadata map[string]any `json:"metadata"`
	}
	if err := json.Unmarshal(body, &bulk); err != nil {
		w.mistake("unreadable: %s", body)
		return
	}
	revision, _ := bulk.Metadata["flagSetRevision"].(float64)
	if now := int64(revision); now < w.revision || now == 0 {
		w.mistake("revision %d after %d", now, w.revision)
	} else {
		w.revision = now
	}
	for _, f := range bulk.Flags {
		if value, ok := f.Value.(float64); f.Key == changedFlag && ok {
			w.seen[int64(revision)] = value
			w.etag = etag
			return
		}
	}
	w.mistake("no value in revision %v", revision)
}

func (w *poller) mistake(format string, args ...any) {
	if len(w.mistakes) < 3 {
		w.mistakes = append(w.mistakes, fmt.Sprintf(format, args...))
	}
}

// definitions gives the flag's value in each revision of the history.
func definitions(t *testing.T, admin *api.Client) map[int64]float64 {
	t.Helper()
	all, err := admin.FlagHistory(t.Context(), set, "", historyPage)
	if err != nil {
		t.Fatal(err)
	}
	values := map[int64]float64{}
	for _, r := range all {
		var d struct {
			Flags map[string]json.RawMessage `json:"flags"`
		}
		if err := json.Unmarshal(r.Definition, &d); err != nil {
			t.Fatalf("revision %d: %v", r.Revision, err)
		}
		var f struct {
			Variants       map[string]float64 `json:"variants"`
			DefaultVariant string             `json:"defaultVariant"`
		}
		if raw, ok := d.Flags[changedFlag]; !ok {
			continue // before the test's first change
		} else if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatalf("revision %d: %v", r.Revision, err)
		}
		values[r.Revision] = f.Variants[f.DefaultVariant]
	}
	return values
}

// tick waits for the next turn; false: the context has ended.
func tick(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
