package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

// A storm of changes, workers and crashes.
const (
	storm        = 40 * time.Second
	workers      = 200
	pollEvery    = 300 * time.Millisecond
	changeEvery  = 300 * time.Millisecond // 200 a minute
	crashEvery   = 8 * time.Second
	historyPage  = 500
	changedFlag  = "generation"
	bulkEndpoint = "/ofrep/v1/evaluate/flags"
)

// TestNoWorkerSeesAnOlderRevision kills the server and its database while flags change and workers poll. No worker may be sent an older
// revision than it has seen, nor a value that its revision never had, and none may lose the value it has.
func TestNoWorkerSeesAnOlderRevision(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	p := newProgram(t, postgres.Database(t))
	p.startAndWait()
	admin := p.signIn()
	p.change(setGeneration(0))

	ctx, cancel := context.WithTimeout(t.Context(), storm)
	defer cancel()
	var wg sync.WaitGroup
	polling := make([]*poller, workers)
	for i := range polling {
		polling[i] = &poller{url: p.url() + bulkEndpoint, seen: map[int64]float64{}}
		wg.Go(func() { polling[i].run(ctx) })
	}
	var changed, failed atomic.Int64
	wg.Go(func() {
		for n := 1; tick(ctx, changeEvery); n++ {
			if p.tryChange(ctx, setGeneration(n)) != nil { // it may have happened all the same: the next one is another
				failed.Add(1)
			} else {
				changed.Add(1)
			}
		}
	})
	crash(ctx, p, postgres)
	wg.Wait()

	p.waitServing()
	history := definitions(t, admin)
	var polls, lost, late int
	for i, w := range polling {
		polls, lost, late = polls+w.polls, lost+w.unanswered, late+w.late
		for _, mistake := range w.mistakes {
			t.Errorf("worker %d: %s", i, mistake)
		}
		if len(w.seen) == 0 {
			t.Errorf("worker %d never had a value", i)
		}
		for revision, value := range w.seen {
			if was, ok := history[revision]; !ok || was != value {
				t.Errorf("worker %d saw %s = %v in revision %d; the history says %v (known: %t)", i, changedFlag, value, revision, was, ok)
			}
		}
	}
	t.Logf("%d polls of %d workers, %d without an answer and %d answered 408; %d changes, %d failed; %d revisions in the history",
		polls, workers, lost, late, changed.Load(), failed.Load(), len(history))
}

// crash kills the server again and again, and the database twice, until the context ends; then both are up.
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

	etag                    string
	revision                int64
	seen                    map[int64]float64 // the flag's value by revision
	polls, unanswered, late int
	mistakes                []string
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
		case status == http.StatusRequestTimeout: // sent as the server was giving up a connection on which nothing had come yet
			w.late++
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
