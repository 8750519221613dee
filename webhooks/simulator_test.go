package webhooks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

var start = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// transport answers in process.
type transport func(*http.Request) *http.Response

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return t(r), nil
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{}}
}

// simulate sends orders to a handler that sees the virtual time.
func simulate(
	t failer, p Sender, orders []Order, until time.Time,
	handle func(now time.Time, r *http.Request) *http.Response,
) *Simulator {
	t.Helper()
	timeline := NewTimeline(start)
	s := &Simulator{Sender: p, Timeline: timeline,
		Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
		Address: func(time.Time) string { return "http://app.test/in" }}
	s.Transport = transport(func(r *http.Request) *http.Response {
		return handle(timeline.Now(), r)
	})
	s.Send(orders)
	if err := timeline.Run(context.Background(), until); err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

func one() []Order { return []Order{{ID: "a", At: start, Value: 1}} }

func TestAnOrderIsTriedAtTheTimesOfTheScheduleAndThenDropped(t *testing.T) {
	t.Parallel()
	for _, p := range append(Senders(), Variants()...) {
		s := simulate(t, p, one(), start.Add(200*time.Hour),
			func(time.Time, *http.Request) *http.Response {
				return answer(503, "")
			})
		tr := s.Traces()[0]
		want := []time.Time{start}
		for _, o := range p.Schedule.Offsets() {
			want = append(want, start.Add(o))
		}
		var got []time.Time
		for _, a := range tr.Attempts {
			got = append(got, a.At)
		}
		if !slices.Equal(got, want) || tr.Outcome != Dropped ||
			!tr.At.Equal(want[len(want)-1]) {
			t.Errorf("%s %s: %s, tried at %v, not %v", p.ID, p.Variant, tr.Outcome, got, want)
		}
	}
}

func TestTheFiguresOfTheSchedulesAreThoseOfTheSources(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct {
		tries int // in all; 0: not stated
		last  time.Duration
	}{"stripe": {0, 72 * time.Hour}, "shopify": {9, 4 * time.Hour},
		"clickfunnels": {6, 81*time.Minute + 15*time.Second}, "copecart": {11, 3 * time.Hour}} {
		p, _ := ByID(id)
		if s := p.Schedule; s.Last() != want.last || s.Window != want.last ||
			s.Retries != len(s.Waits) && s.Retries != 0 ||
			want.tries != 0 && len(s.Waits)+1 != want.tries {
			t.Errorf("%s: %d retries, %d waits, last after %s", id, s.Retries,
				len(s.Waits), s.Last())
		}
	}
	if p := ClickFunnelsSevenTries(); len(p.Schedule.Waits)+1 != 7 || p.Schedule.Last() != 25*
		time.Hour+21*time.Minute+15*time.Second || len(ClickFunnels().Schedule.Waits) != 5 {
		t.Errorf("seven tries: %v", p.Schedule.Waits)
	}
	for _, p := range append(Senders(), Variants()...) {
		for i, w := range p.Schedule.Waits {
			if w <= 0 {
				t.Errorf("%s: wait %d is %s", p.ID, i, w)
			}
		}
		if p.Schedule.NoLoss > p.Schedule.Last() {
			t.Errorf("%s promises more than its last try", p.ID)
		}
		if p.Schedule.Level != Documented && p.Schedule.NoLoss > 0 {
			t.Errorf("%s promises what is not documented", p.ID)
		}
	}
}

func TestCopeCartTakesOnlyABodyOfExactlyOK(t *testing.T) {
	t.Parallel()
	for body, delivered := range map[string]bool{"OK": true, "OK\n": false, "ok": false,
		"": false, `{"received":true}`: false, `"OK"`: false} {
		s := simulate(t, CopeCart(), one(), start.Add(24*time.Hour),
			func(time.Time, *http.Request) *http.Response {
				return answer(200, body)
			})
		tr := s.Traces()[0]
		if (tr.Outcome == Delivered) != delivered || !delivered && len(tr.Attempts) != 11 {
			t.Errorf("%q: %s after %d tries", body, tr.Outcome, len(tr.Attempts))
		}
	}
	if CopeCart().Success(503, []byte("OK")) {
		t.Error("a 503 is a success")
	}
	for _, p := range Senders() {
		if !p.Success(200, []byte(p.Reply)) {
			t.Errorf("%s does not take the reply that is recommended for it", p.ID)
		}
	}
}

func TestARefusalThatEndsTheRetriesLosesTheOrderAtOnce(t *testing.T) {
	t.Parallel()
	for _, p := range Senders() {
		s := simulate(t, p, one(), start.Add(100*time.Hour),
			func(time.Time, *http.Request) *http.Response {
				return answer(429, "")
			})
		if tr := s.Traces()[0]; (len(tr.Attempts) == 1) != (p.ID == "cope") {
			t.Errorf("%s: %d tries after 429s", p.ID, len(tr.Attempts))
		}
	}
}

func TestNoProviderFollowsARedirectAndItCountsAsAFailure(t *testing.T) {
	t.Parallel()
	hits := 0
	handle := func(_ time.Time, r *http.Request) *http.Response {
		if r.URL.Path == "/moved" {
			hits++
			return answer(200, "OK")
		}
		resp := answer(308, "")
		resp.Header.Set("Location", "http://app.test/moved")
		return resp
	}
	for _, p := range Senders() {
		if tr := simulate(t, p, one(), start.Add(100*time.Hour),
			handle).Traces()[0]; tr.Outcome != Dropped || tr.Attempts[0].Status != 308 {
			t.Errorf("%s: %s, %+v", p.ID, tr.Outcome, tr.Attempts[0])
		}
	}
	if hits > 0 {
		t.Errorf("%d redirects were followed", hits)
	}
	p := Stripe()
	p.Redirects.Holds = true // one that does
	if tr := simulate(t, p, one(), start.Add(time.Hour),
		handle).Traces()[0]; tr.Outcome != Delivered || hits != 1 {
		t.Errorf("a follower: %s", tr.Outcome)
	}
}

func TestRetriesGoToTheAddressOfTheTriggerWhereTheProviderPinsIt(t *testing.T) {
	t.Parallel()
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer old.Close()
	fresh := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "OK")
	}))
	defer fresh.Close()
	for _, p := range Senders() {
		timeline := NewTimeline(start)
		s := &Simulator{Sender: p, Timeline: timeline,
			Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
			Address: func(now time.Time) string {
				if now.After(start) {
					return fresh.URL
				}
				return old.URL
			}}
		s.Send(one())
		if err := timeline.Run(t.Context(), start.Add(100*time.Hour)); err != nil {
			t.Fatal(err)
		}
		tr := s.Traces()[0]
		if p.Pinned.Holds != (tr.Outcome == Dropped) {
			t.Errorf("%s pins %v: %s, %+v", p.ID, p.Pinned.Holds, tr.Outcome, tr.Attempts)
		}
	}
}

func TestAnAnswerAfterTheDeadlineIsAFailureAlthoughTheAppTookTheOrder(t *testing.T) {
	t.Parallel()
	timeline := NewTimeline(start)
	taken := 0
	s := &Simulator{Sender: Shopify(), Timeline: timeline,
		Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
		Address: func(time.Time) string { return "http://app.test" },
		Took: func(r *http.Response) time.Duration {
			d, _ := time.ParseDuration(r.Header.Get("Took"))
			return d
		}}
	s.Transport = transport(func(*http.Request) *http.Response {
		taken++
		r := answer(200, "")
		r.Header.Set("Took", map[int]string{1: "5.1s", 2: "5s"}[taken])
		return r
	})
	s.Send(one())
	if err := timeline.Run(t.Context(), start.Add(5*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if tr := s.Traces()[0]; len(tr.Attempts) != 2 || tr.Attempts[0].Success ||
		tr.Attempts[0].Status != 0 || !tr.Attempts[1].Success {
		t.Errorf("%+v", tr.Attempts)
	}
}

func TestAnAppThatHangsCostsTheProviderItsDeadlineInRealTime(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	defer server.Close()
	defer close(done)
	p := Shopify()
	p.Deadline.Total = 20 * time.Millisecond
	timeline := NewTimeline(start)
	s := &Simulator{Sender: p, Timeline: timeline,
		Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
		Address: func(time.Time) string { return server.URL }}
	s.Send(one())
	if err := timeline.Run(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if a := s.Traces()[0].Attempts[0]; a.Status != 0 || a.Error != errDeadline.Error() {
		t.Errorf("%+v", a)
	}
}

func TestADeletedSubscriptionSendsNothingUntilThereIsANewOne(t *testing.T) {
	t.Parallel()
	var orders []Order
	for i := range 12 {
		orders = append(orders,
			Order{ID: strconv.Itoa(i), At: start.Add(time.Duration(i) * time.Hour)})
	}
	timeline := NewTimeline(start)
	s := &Simulator{Sender: Shopify(), Timeline: timeline,
		Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
		Address: func(time.Time) string { return "http://app.test" }}
	s.Transport = transport(func(*http.Request) *http.Response {
		if timeline.Now().Before(start.Add(5 * time.Hour)) {
			return answer(503, "")
		}
		return answer(200, "")
	})
	timeline.At(start.Add(7*time.Hour+30*time.Minute), func(context.Context) error {
		s.Resubscribe()
		return nil
	})
	s.Send(orders)
	if err := timeline.Run(t.Context(), start.Add(20*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := s.Dropped(); !slices.Equal(got,
		[]string{"0", "1", "2", "3", "4", "5", "6", "7"}) {
		t.Errorf("dropped %v", got)
	}
	if tr := s.Traces()[6]; len(tr.Attempts) != 0 ||
		!strings.Contains(tr.Reason, "never sent") {
		t.Errorf("%+v", tr)
	}
}

func TestTheSameSeedGivesTheSameRunAndOrdersComeOutOfOrder(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) ([]Trace, []string) {
		var came []string
		timeline := NewTimeline(start)
		s := &Simulator{Sender: Stripe(), Timeline: timeline, Seed: seed, Duplicates: 0.3,
			Scatter: 10 * time.Minute,
			Secrets: func(time.Time) []migration.Secret { return []migration.Secret{secretA} },
			Address: func(time.Time) string { return "http://app.test" }}
		s.Transport = transport(func(r *http.Request) *http.Response {
			if len(came)%3 == 0 {
				came = append(came, "")
				return answer(500, "")
			}
			came = append(came, r.Header.Get("Stripe-Signature"))
			return answer(200, "")
		})
		var orders []Order
		for i := range 50 {
			orders = append(orders,
				Order{ID: strconv.Itoa(i), At: start.Add(time.Duration(i) * time.Second)})
		}
		s.Send(orders)
		if err := timeline.Run(t.Context(), start.Add(100*time.Hour)); err != nil {
			t.Fatal(err)
		}
		return s.Traces(), came
	}
	a, cameA := run(1)
	b, cameB := run(1)
	c, _ := run(2)
	if !reflect.DeepEqual(a, b) || !slices.Equal(cameA, cameB) {
		t.Error("the same seed gave two runs")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("another seed gave the same run")
	}
	late := 0
	for i := 1; i < len(a); i++ {
		if a[i].Attempts[0].At.Before(a[i-1].Attempts[0].At) {
			late++
		}
	}
	if late == 0 || len(cameA) <= 50 {
		t.Errorf("%d orders out of order, %d deliveries", late, len(cameA))
	}
}

func TestATimelineStopsWithItsContext(t *testing.T) {
	t.Parallel()
	timeline := NewTimeline(start)
	ctx, cancel := context.WithCancel(t.Context())
	timeline.At(start, func(context.Context) error { cancel(); return nil })
	timeline.At(start, func(context.Context) error { t.Error("went on"); return nil })
	if err := timeline.Run(ctx, start.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
