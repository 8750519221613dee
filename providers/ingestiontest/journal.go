package ingestiontest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Journal serves an ingestion app's journal, or those of several instances in turn.
type Journal struct {
	*httptest.Server

	mu       sync.Mutex
	Epoch    string
	Instance string // "": an older app
	// Instances write into the journal; nil: it does not tell.
	Instances []string
	Events    []map[string]any
	Intake    map[string]any // backlog, oldestAt
	Down      bool
	Ahead     time.Duration // the app's clock, of the real one
	Asked     int
	// Turn has each request answered by the next of these instead, as a balancer does; they
	// need no server of their own.
	Turn []*Journal
}

// NewJournal serves an empty journal until the test ends.
func NewJournal(t testing.TB) *Journal {
	t.Helper()
	j := &Journal{Epoch: "first"}
	j.Server = httptest.NewServer(j)
	t.Cleanup(j.Close)
	return j
}

// ServeHTTP answers a page of the journal.
func (j *Journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.Asked++
	if len(j.Turn) > 0 {
		j.Turn[j.Asked%len(j.Turn)].ServeHTTP(w, r)
		return
	}
	query := r.URL.Query()
	after, _ := strconv.Atoi(query.Get("after"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	if cursors := query["cursor"]; len(cursors) > 0 && j.Instance != "" {
		after = 0
		for _, c := range cursors {
			if at, ok := strings.CutPrefix(c, j.Epoch+":"); ok {
				after, _ = strconv.Atoi(at)
			}
		}
	}
	if j.Down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	page := map[string]any{"epoch": j.Epoch, "next": after, "events": []any{},
		"now": time.Now().Add(j.Ahead).UnixMilli()}
	if j.Instance != "" {
		page["instance"] = j.Instance
	}
	if j.Instances != nil {
		page["instances"] = j.Instances
	}
	if j.Intake != nil {
		page["intake"] = j.Intake
	}
	if after < len(j.Events) {
		end := min(after+limit, len(j.Events))
		page["next"], page["events"] = end, j.Events[after:end]
	}
	_ = json.NewEncoder(w).Encode(page)
}

// Set changes the app while nobody reads.
func (j *Journal) Set(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// Finish journals that the app has ended in good order.
func (j *Journal) Finish(at time.Time) {
	j.Set(func() {
		j.Events = append(j.Events, map[string]any{"seq": len(j.Events) + 1,
			"at": at.UnixMilli(), "type": "closed"})
	})
}

// Order journals an order that was acknowledged at a time and, if applied, took effect.
func (j *Journal) Order(id string, at time.Time, applied bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add := func(e map[string]any) {
		e["seq"], e["at"], e["order"] = len(j.Events)+1, at.UnixMilli(), id
		j.Events = append(j.Events, e)
	}
	add(map[string]any{"type": "enqueued", "side": "source", "ok": true, "stage": "off"})
	add(map[string]any{"type": "delivery", "status": 200})
	if applied {
		add(
			map[string]any{
				"type":    "executed",
				"side":    "source",
				"mode":    "authoritative",
				"outcome": "applied",
				"result":  "r",
			},
		)
	}
}
