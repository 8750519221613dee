package ingestiontest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// journal serves an ingestion app's journal.
type Journal struct {
	*httptest.Server

	mu     sync.Mutex
	Epoch  string
	Events []map[string]any
	Intake map[string]any // backlog, oldestAt
	Down   bool
	Asked  int
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
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if j.Down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	page := map[string]any{"epoch": j.Epoch, "next": after, "events": []any{}}
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
