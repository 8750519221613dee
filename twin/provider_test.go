package twin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

func testSecrets() map[string]migration.Secret {
	secrets := map[string]migration.Secret{}
	for _, p := range webhooks.Senders() {
		secrets[p.ID] = migration.Secret("secret of " + p.ID)
	}
	return secrets
}

// receiver is a webhook endpoint that answers as told, with the body that the provider
// wants, and keeps what it was sent.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string][]string // order id -> every body, in order
	jobs   map[string]string   // order id -> job id
	bad    []string
	answer func(id string, nth int) int
	reply  string // instead of what the provider wants
}

func newReceiver(t *testing.T, answer func(id string, nth int) int) *receiver {
	t.Helper()
	r := &receiver{bodies: map[string][]string{}, jobs: map[string]string{}, answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, _ := webhooks.ByID(strings.TrimPrefix(req.URL.Path, "/webhooks/"))
	if p.ID == "" {
		r.bad = append(r.bad, "address "+req.URL.Path)
		return
	}
	e, err := p.Verify(req.Header, body, []migration.Secret{testSecrets()[p.ID]}, time.Now())
	id := e.OrderID()
	if err != nil || id == "" || r.jobs[id] != "" && r.jobs[id] != e.JobID() ||
		!strings.Contains(string(body), `"switchyard_delay_ms":`) ||
		!strings.Contains(string(body), `"sku":"SKU-`) {
		r.bad = append(r.bad, fmt.Sprintf("delivery of %s: %v, %+v, %s", p.ID, err, e, body))
	}
	r.jobs[id] = e.JobID()
	r.bodies[id] = append(r.bodies[id], string(body))
	w.WriteHeader(r.answer(id, len(r.bodies[id])))
	_, _ = io.WriteString(w, cmp.Or(r.reply, p.Reply))
}

func (r *receiver) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bad {
		t.Errorf("the receiver got a bad %s", b)
	}
}

// deliveries of one order.
func (r *receiver) of(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.bodies[id]...)
}

func accept(string, int) int { return http.StatusOK }

func testProvider(t *testing.T, file, url string, limit int, rate float64) *Provider {
	t.Helper()
	p, err := newProvider(file, func(webhooks.Sender) string { return url }, testSecrets(), limit, rate, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// soon polls until ok gives nil, and fails the test with the last error when the time is
// over.
func soon(t *testing.T, within time.Duration, what string, ok func() error) {
	t.Helper()
	if err := poll(t.Context(), within, what,
		func(context.Context) error { return ok() }); err != nil {
		t.Fatal(err)
	}
}

func sent(p *Provider, n int) func() error {
	return func() error {
		if s := p.Stats(); s.Sent != n {
			return fmt.Errorf("%d orders were sent, want %d", s.Sent, n)
		}
		return nil
	}
}

func TestMostOrdersAreStripesAndEachOtherProviderSendsSome(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, accept)
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 40, 500)
	defer func() { _ = p.close() }()
	p.Offer(40)
	soon(t, 5*time.Second, "the orders", sent(p, 40))
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	n, objects := map[string]int{}, map[string]int{}
	for _, o := range p.Orders() {
		n[o.Provider]++
		objects[o.payment().ID]++
		if len(r.of(o.ID)) == 0 {
			t.Errorf("order %s did not come under this id", o.ID)
		}
	}
	if want := map[string]int{"stripe": 24, "shopify": 4, "clickfunnels": 4, "copecart": 4,
		"cope": 4}; !maps.Equal(n, want) {
		t.Errorf("orders by provider %v, want %v", n, want)
	}
	if objects["1000"] != 4 {
		t.Errorf(
			"order 1000 is of %d providers; that the app tells them apart is shown by the same "+
				"id at four",
			objects["1000"],
		)
	}
}

func TestWhatIsNoSuccessToTheProviderIsSentAgainAndWhatEndsItsRetriesIsNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, reply     string
		status          int
		provider, error string
	}{
		{rule: "CopeCart takes nothing but OK", reply: `{"received":true}`, status: http.StatusOK,
			provider: "copecart", error: "exactly OK"},
		{rule: "COPE gives up at a 4xx", status: http.StatusNotFound, provider: "cope"},
	} {
		r := newReceiver(t, func(string, int) int { return c.status })
		r.reply = c.reply
		p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 10, 500)
		p.Offer(10)
		soon(t, 10*time.Second, "two tries of those that go on", func() error {
			for _, o := range p.Orders() {
				if len(o.Deliveries) < 2 && o.Acknowledged.IsZero() && !o.GivenUp {
					return fmt.Errorf("%s: %+v", o.ID, o)
				}
			}
			return sent(p, 10)()
		})
		orders := p.Orders()
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		for _, o := range orders {
			odd := o.Provider == c.provider
			if success := c.status == http.StatusOK && !odd; !o.Acknowledged.IsZero() != success {
				t.Errorf("%s: %s: acknowledged at %v", c.rule, o.ID, o.Acknowledged)
			}
			if want := odd && c.status == http.StatusNotFound; o.GivenUp != want {
				t.Errorf("%s: %s: given up %v", c.rule, o.ID, o.GivenUp)
			}
			if odd && !strings.Contains(o.Deliveries[0].Error, c.error) {
				t.Errorf("%s: %+v", c.rule, o.Deliveries[0])
			}
		}
	}
}

func TestTheProviderTriesAgainUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	answers := []int{http.StatusServiceUnavailable, http.StatusFound, http.StatusOK}
	r := newReceiver(t, func(_ string, nth int) int { return answers[min(nth, len(answers))-1] })
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 5, 100)
	p.Offer(5)
	soon(t, 5*time.Second, "the orders", sent(p, 5))
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	if s := p.Stats(); s.Acknowledged != 5 || s.Pending != 0 || s.GivenUp != 0 || s.Refused != 5 ||
		s.Deliveries < 15 {
		t.Errorf("stats %+v, want 5 acknowledged after 3 deliveries each, one of them answered 503",
			s)
	}
	for _, o := range p.Orders() {
		for i, want := range answers {
			if o.Deliveries[i].Status != want {
				t.Errorf("order %s: delivery %d was answered %d, want %d", o.ID, i+1,
					o.Deliveries[i].Status, want)
			}
		}
		if gap := o.Deliveries[1].At.Sub(o.Deliveries[0].At); gap < schedule[0] ||
			gap > schedule[0]+time.Second {
			t.Errorf("order %s: the second try came %s after the first, want %s", o.ID, gap,
				schedule[0])
		}
		bodies := r.of(o.ID)
		if bodies[0] != bodies[2] {
			t.Errorf("order %s: the body changed between tries:\n%s\n%s", o.ID, bodies[0],
				bodies[2])
		}
	}
}

func TestTheProviderKeepsTryingWhileNobodyListens(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"),
		fmt.Sprintf("http://127.0.0.1:%d/", ports[0]), 3, 100)
	defer func() { _ = p.close() }()
	p.Offer(3)
	soon(t, 10*time.Second, "six refused connections", func() error {
		if s := p.Stats(); s.Deliveries < 6 || s.Pending != 3 || s.Sent != 3 {
			return fmt.Errorf("stats %+v", s)
		}
		return nil
	})
	if d := p.Orders()[0].Deliveries[0]; d.Status != 0 || !strings.Contains(d.Error, "refused") {
		t.Errorf("delivery %+v, want no status and the reason", d)
	}
}

func TestTheProviderSendsAtItsRate(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, accept)
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 600, 200)
	defer func() { _ = p.close() }()
	idle := time.Now()
	soon(t, time.Second, "a while without an offer", func() error {
		if time.Since(idle) < 400*time.Millisecond {
			return errors.New("too early")
		}
		return nil
	})
	begin := time.Now()
	p.Offer(600)
	soon(t, 10*time.Second, "the orders", sent(p, 600))
	if took := time.Since(begin); took < 2700*time.Millisecond || took > 4*time.Second {
		t.Errorf("600 orders at 200 a second took %s, want about 3 s", took)
	}
	orders := p.Orders()
	if first := orders[20].Sent.Sub(orders[0].Sent); first < 50*time.Millisecond {
		t.Errorf(
			"the first 20 orders came within %s: what was not offered yet must not pile up into "+
				"a burst",
			first,
		)
	}
}

func TestTheProviderPausesAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, accept)
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 0, 0)
	defer func() { _ = p.close() }()
	if s := p.Stats(); s.Sent != 0 {
		t.Fatalf("a provider at rate 0 sent %d orders", s.Sent)
	}
	p.SetRate(500)
	soon(t, 5*time.Second, "endless orders", func() error {
		if s := p.Stats(); s.Acknowledged < 50 {
			return fmt.Errorf("stats %+v", s)
		}
		return nil
	})
	r.check(t)
}

func TestTheProviderSendsSomeEventsTwice(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, accept)
	p := testProvider(t, filepath.Join(t.TempDir(), "orders.jsonl"), r.URL, 500, 2000)
	defer func() { _ = p.close() }()
	p.Offer(500)
	soon(t, 10*time.Second, "a repeated event", func() error {
		if s := p.Stats(); s.Acknowledged != 500 || s.Deliveries == 500 {
			return fmt.Errorf("stats %+v", s)
		}
		return nil
	})
}

func TestTheProviderGoesOnWithItsList(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	var open sync.Map // present: accept
	r := newReceiver(t, func(id string, _ int) int {
		if _, ok := open.Load("all"); !ok && id == "shopify:1000" {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	p := testProvider(t, file, r.URL, 10, 500)
	p.Offer(4)
	soon(t, 5*time.Second, "three of four", func() error {
		if s := p.Stats(); s.Acknowledged != 3 {
			return fmt.Errorf("stats %+v", s)
		}
		return nil
	})
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves: a line that was not written to its end.
	torn(t, file)

	open.Store("all", true)
	p = testProvider(t, file, r.URL, 10, 500)
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Offer(2)
	soon(t, 5*time.Second, "two more orders", sent(p, 6))
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	if bodies := r.of("shopify:1000"); bodies[0] != bodies[len(bodies)-1] {
		t.Errorf("the event changed across the restart:\n%s\n%s", bodies[0], bodies[len(bodies)-1])
	}

	p = testProvider(t, file, r.URL, 10, 0)
	defer func() { _ = p.close() }()
	orders := p.Orders()
	if len(orders) != 6 {
		t.Fatalf("%d orders are on the list after three runs, want 6", len(orders))
	}
	for i, want := range []string{"ord_000001", "ord_000002", "shopify:1000", "ord_000004",
		"clickfunnels:1000", "ord_000006"} {
		if o := orders[i]; o.ID != want || o.Provider != mix[i] ||
			o.Provider == "stripe" && o.Event != fmt.Sprintf("evt_%06d", i+1) ||
			o.Sent.IsZero() ||
			o.Acknowledged.IsZero() {
			t.Errorf("order %d on the list is %+v, want %s", i+1, o, want)
		}
	}
}

func TestAListOfAnOlderTwinIsStripes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(file,
		[]byte(`{"id":"ord_000001","event":"evt_000001","sent":"2026-11-20T10:00:00Z"}`+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t, accept)
	p := testProvider(t, file, r.URL, 0, 0)
	defer func() { _ = p.close() }()
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.check(t)
	if o := p.Orders()[0]; o.Provider != "stripe" || len(r.of("ord_000001")) == 0 ||
		r.jobs["ord_000001"] != "stripe_evt_000001" {
		t.Errorf("%+v, job %s", o, r.jobs["ord_000001"])
	}
}

func torn(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"id":"ord_000004","deliv`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheProviderGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	at := time.Now().Add(-time.Hour)
	_ = enc.Encode(entry{ID: "ord_000001", Event: "evt_000001", Sent: &at})
	for range giveUpAfter - 1 {
		_ = enc.Encode(entry{ID: "ord_000001",
			Delivery: &Delivery{At: at, Status: http.StatusServiceUnavailable}})
	}
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t, func(string, int) int { return http.StatusServiceUnavailable })
	for run := 1; run <= 2; run++ { // the second finds it given up
		p := testProvider(t, file, r.URL, 0, 0)
		if err := p.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		if s := p.Stats(); s.GivenUp != 1 || s.Deliveries != giveUpAfter {
			t.Errorf("run %d: stats %+v, want one order given up after %d tries", run, s,
				giveUpAfter)
		}
	}
}

func TestAnOrderIsOnTheListBeforeItIsSent(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	var missing sync.Map
	r := newReceiver(t, func(id string, _ int) int {
		if text, err := os.ReadFile(file); err != nil ||
			!strings.Contains(string(text), `"`+id+`"`) {
			missing.Store(id, true)
		}
		return http.StatusOK
	})
	p := testProvider(t, file, r.URL, 20, 500)
	p.Offer(20)
	soon(t, 5*time.Second, "the orders", sent(p, 20))
	if err := p.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	missing.Range(func(id, _ any) bool {
		t.Errorf(
			"order %v was sent before its line was in the file: killed now, the next "+
				"run would send another order under its id",
			id,
		)
		return true
	})
}

func TestTheStateOfAnOlderTwinGetsTheSecretsThatItLacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state.json"),
		[]byte(`{"ports":{"sync":1},"secrets":{"webhook":"kept"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := loadState(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	secrets := s.webhookSecrets()
	if secrets["stripe"].Reveal() != "kept" || len(secrets) != 5 || secrets["cope"].IsZero() ||
		secrets["cope"] == secrets["shopify"] {
		t.Errorf("%d secrets, Stripe's is kept: %t", len(secrets),
			secrets["stripe"].Reveal() == "kept")
	}
	if again, err := loadState(dir, ""); err != nil || !maps.Equal(again.webhookSecrets(),
		secrets) {
		t.Errorf("the secrets change from start to start: %v", err)
	}
}
