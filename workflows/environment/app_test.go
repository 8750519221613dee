package environment

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

// takes serves an app that adds to one queue and takes the replays of one sender. It does not
// answer while down, and names nothing of the queue where it is old.
type takes struct {
	queue, sender string
	down, old     bool
	asked         int
}

func (a *takes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked++
	var in struct{ Queue string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	sender := r.URL.Query().Get("provider")
	switch {
	case a.down:
		w.WriteHeader(http.StatusBadGateway)
	case a.old:
		_, _ = fmt.Fprint(w, `{"status":200,"side":"source"}`)
	case sender != "" && sender != a.sender || sender == "" && in.Queue != a.queue:
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprintf(w, `{"error":"it adds to %s"}`, a.queue)
	default:
		_, _ = fmt.Fprintf(w, `{"status":200,"side":"source","queue":%q}`, a.queue)
	}
}

// apps gives an App of several, the first of which is at the app's own address.
func apps(t *testing.T, queues []string, all ...*takes) App {
	t.Helper()
	instances := map[string]*ingestion.Client{}
	first := ""
	for _, a := range all {
		srv := httptest.NewServer(a)
		t.Cleanup(srv.Close)
		if first == "" {
			first = srv.URL
		}
		instances[srv.URL] = ingestion.New(srv.URL, "token", nil)
	}
	return newApp(first, instances[first], queues, instances)
}

func TestACanaryGoesToTheAppThatAddsToItsQueue(t *testing.T) {
	t.Parallel()
	both := []string{"orders", "refunds"}
	for _, tc := range []struct {
		rule   string
		queues []string
		apps   []*takes
		says   string // "": taken
	}{
		{"the second app's queue", both, []*takes{{queue: "orders"}, {queue: "refunds"}}, ""},
		{"nobody's", both, []*takes{{queue: "orders"}, {queue: "orders"}},
			"no app takes jobs of refunds: it adds to orders; it adds to orders"},
		{"one that cannot be asked has not refused", both,
			[]*takes{{queue: "orders", down: true}, {queue: "orders"}}, "502"},
		{"one that does not tell its queue, of two", both, []*takes{{old: true}},
			`was added to another queue: the app names ""`},
		{"one that does not tell its queue, of one", []string{"refunds"}, []*takes{{old: true}}, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r, err := apps(t, tc.queues, tc.apps...).Canary(t.Context(), "canary_1", "refunds")
			if tc.says == "" && (err != nil || r.Status != 200) {
				t.Errorf("%+v, %v", r, err)
			}
			if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestWhoTookAQueueIsAskedFirstUntilItDoesNotAnswer(t *testing.T) {
	t.Parallel()
	orders, refunds := &takes{queue: "orders"}, &takes{queue: "refunds"}
	a := apps(t, []string{"orders", "refunds"}, orders, refunds)
	canary := func() error { _, err := a.Canary(t.Context(), "canary_1", "refunds"); return err }
	for range 3 {
		if err := canary(); err != nil {
			t.Fatal(err)
		}
	}
	if orders.asked != 1 || refunds.asked != 3 {
		t.Errorf("the apps were asked %d and %d times", orders.asked, refunds.asked)
	}
	refunds.down = true
	if err := canary(); err == nil {
		t.Error("an app that does not answer took a canary")
	}
	refunds.down, refunds.queue, orders.queue = false, "orders", "refunds" // they changed places
	if err := canary(); err != nil || orders.asked != 2 {
		t.Errorf("%v, asked %d times", err, orders.asked)
	}
}

func TestAReplayGoesToTheAppThatTakesTheSendersWebhooks(t *testing.T) {
	t.Parallel()
	a := apps(t, []string{"orders"}, &takes{sender: "stripe"}, &takes{sender: "shopify"})
	status, reason, err := a.Replay(t.Context(), "shopify", json.RawMessage(`{}`))
	if err != nil || status != http.StatusOK {
		t.Errorf("%d %s, %v", status, reason, err)
	}
	if _, _, err = a.Replay(t.Context(), "cope", json.RawMessage(`{}`)); migration.KindOf(
		err) != migration.Blocked || !strings.Contains(err.Error(), "no app takes replays of cope") {
		t.Errorf("%v", err)
	}
}
