package notify

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/switchyard-dev/switchyard/migration"
)

const canary = "CANARY-secret"

var begun = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func alertOf(key string, s Severity) Event {
	return Event{
		ID:       key + "@1/" + string(s),
		Key:      key,
		Kind:     Alert,
		Severity: s,
		Source:   "Orders",
		Title:    "Stripe: 2 orders are <refused> & missing\r\nBcc: x",
		Text:     "evt_1, evt_2",
		URL:      "https://switchyard.example.com/m/orders/outage",
		At:       begun,
	}
}

func end(e Event) Event { e.Kind, e.ID = Resolve, e.Key+"@1/end"; return e }

// request is what a stand-in got.
type request struct {
	path   string
	header http.Header
	body   []byte
}

// standIn is an HTTP server that notes what it gets, and answers as told.
type standIn struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	answer func(w http.ResponseWriter, r request)
}

func newStandIn(t *testing.T, answer func(http.ResponseWriter, request)) *standIn {
	t.Helper()
	s := &standIn{answer: answer}
	s.Server = httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got := request{r.URL.Path, r.Header, b}
			s.mu.Lock()
			s.got = append(s.got, got)
			s.mu.Unlock()
			s.answer(w, got)
		}))
	t.Cleanup(s.Close)
	return s
}

func answers(status int, header ...string) func(http.ResponseWriter, request) {
	return func(w http.ResponseWriter, r request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		// a server may repeat what it got
		_, _ = w.Write(append([]byte("you sent "+r.path+" "), r.body...))
	}
}

func made(t *testing.T) func(Channel, error) Channel {
	return func(c Channel, err error) Channel {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func signingSecret() migration.Secret {
	return migration.Secret("whsec_" +
		base64.StdEncoding.EncodeToString([]byte(canary+"-of-thirty-two-bytes-length")))
}

func TestSlackGetsOneMessageWhoseTextCannotBecomeALinkOrAMention(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, answers(200))
	e := alertOf("orders/outage/stripe", Warning)
	e.Text = "<!channel> & more"
	if err := made(t)(NewSlack(migration.Secret(s.URL+"/services/T/B/"+canary))).
		Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var m struct{ Text string }
	if err := json.Unmarshal(s.got[0].body, &m); err != nil {
		t.Fatal(err)
	}
	want := "*WARNING: Stripe: 2 orders are &lt;refused&gt; &amp; missing Bcc: " +
		"x*\nOrders\n&lt;!channel&gt; &amp; " +
		"more\n<https://switchyard.example.com/m/orders/outage|Open in Switchyard>"
	if m.Text != want {
		t.Errorf("%q, want %q", m.Text, want)
	}
}

// eventsAPI is PagerDuty's Events API as documented: 202 or 400, and one incident for
// each dedup_key that is open.
type eventsAPI struct {
	open    map[string]string // dedup_key to the severity of its first trigger
	opened  int
	changes int
}

func (a *eventsAPI) answer(w http.ResponseWriter, r request) {
	var e struct {
		RoutingKey string `json:"routing_key"`
		Action     string `json:"event_action"`
		DedupKey   string `json:"dedup_key"`
		Payload    *struct {
			Summary, Source, Severity, Timestamp string
			Details                              map[string]any `json:"custom_details"`
		}
		Links []struct{ Href, Text string }
	}
	bad := func(why string) {
		w.WriteHeader(400)
		_, _ = w.Write([]byte(`{"status":"invalid event","errors":["` + why + `"]}`))
	}
	if err := json.Unmarshal(r.body, &e); err != nil || len(e.RoutingKey) != 32 {
		bad("routing_key")
		return
	}
	trigger := e.Action == "trigger"
	if trigger || r.path == "/v2/change/enqueue" {
		if e.Payload == nil || e.Payload.Summary == "" ||
			len([]rune(e.Payload.Summary)) > 1024 || e.Payload.Source == "" {
			bad("payload")
			return
		}
		if _, err := time.Parse(time.RFC3339Nano, e.Payload.Timestamp); err != nil {
			bad("timestamp")
			return
		}
	}
	switch {
	case r.path == "/v2/change/enqueue":
		a.changes++
	case r.path != "/v2/enqueue" || !trigger && e.Action != "resolve" ||
		len(e.DedupKey) > 255 || e.DedupKey == "":
		bad("event_action")
		return
	case trigger:
		if !strings.Contains("critical error warning info", e.Payload.Severity) ||
			e.Payload.Severity == "" {
			bad("severity")
			return
		}
		if _, ok := a.open[e.DedupKey]; !ok {
			a.open[e.DedupKey], a.opened = e.Payload.Severity, a.opened+1
		}
	default:
		delete(a.open, e.DedupKey)
	}
	w.WriteHeader(202)
	_, _ = w.Write([]byte(`{"status":"success","message":"Event processed"}`))
}

const routingKey = migration.Secret("CANARY00000000000000000000000000")

func TestPagerDutyHasOneIncidentForEachKeyAndChangesWakeNobody(t *testing.T) {
	t.Parallel()
	api := &eventsAPI{open: map[string]string{}}
	s := newStandIn(t, api.answer)
	c := made(t)(NewPagerDuty(s.URL+"/", routingKey))
	send := func(e Event) {
		t.Helper()
		if err := c.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	long := Key("orders", strings.Repeat("ö", 300))
	e := alertOf("orders/outage/stripe", Warning)
	send(e)
	send(e) // a repeat
	send(alertOf("orders/outage/stripe", Critical))
	send(alertOf(long, Error))
	if api.opened != 2 || len(api.open) != 2 {
		t.Fatalf("%+v", api)
	}
	send(end(e))
	send(end(alertOf(long, Error)))
	for _, k := range []Kind{Approval, Change, Test} {
		send(Event{ID: "x", Key: "orders/run/1", Kind: k, Severity: Info, Source: "Orders",
			Title: strings.Repeat("x", 5000), At: begun})
	}
	if len(api.open) != 0 || api.opened != 2 || api.changes != 3 {
		t.Fatalf("%+v", api)
	}
	err := made(t)(NewPagerDuty(s.URL, "CANARY-short")).Send(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "400") ||
		strings.Contains(err.Error(), "CANARY") {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestWebhooksAreSignedByTheStandardAndARepeatHasTheSameID(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, answers(204))
	secret := signingSecret()
	c := made(t)(NewWebhook(migration.Secret(s.URL+"/hook"), secret))
	e := alertOf("orders/ledger/lost", Critical)
	for range 2 {
		if err := c.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.got {
		if err := verifier.Verify(r.body, r.header); err != nil {
			t.Error(err)
		}
	}
	if a, b := s.got[0].header.Get("webhook-id"),
		s.got[1].header.Get("webhook-id"); a == "" || a != b {
		t.Errorf("ids %q and %q", a, b)
	}
	if err := verifier.Verify(append(s.got[0].body, ' '), s.got[0].header); err == nil {
		t.Error("a changed body is accepted")
	}
	var got webhookBody
	if err := json.Unmarshal(s.got[0].body, &got); err != nil || got.Type != Alert ||
		got.Data.Key != e.Key ||
		got.Data.Title != "Stripe: 2 orders are <refused> & missing Bcc: x" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestARefusalIsToldWithoutTheAnswerTheAddressOrTheKey(t *testing.T) {
	t.Parallel()
	elsewhere := newStandIn(t, answers(200))
	gone := httptest.NewServer(nil)
	gone.Close()
	for rule, c := range map[string]struct {
		answer func(http.ResponseWriter, request)
		says   string
		wait   time.Duration
	}{
		"a rate limit gives the time to wait": {answers(429, "Retry-After", "7"), "429",
			7 * time.Second},
		"a wait has a limit": {answers(429, "Retry-After", "999999"),
			"429", maxWait},
		"a malformed message is a 400": {answers(400), "400", 0},
		"a wrong key asks to look at it": {answers(403),
			"look at the configured address", 0},
		"a failing server is tried again later": {answers(500), "500", 0},
		"a redirect is not followed": {answers(307, "Location", elsewhere.URL),
			"redirects are not followed", 0},
		"an endless answer is not read to its end": {func(w http.ResponseWriter, _ request) {
			w.WriteHeader(503)
			for range 1000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "503", 0},
		"a server that is not there": {nil, "refused", 0},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			base := gone.URL
			if c.answer != nil {
				base = newStandIn(t, c.answer).URL
			}
			for name, ch := range map[string]Channel{
				"slack":     made(t)(NewSlack(migration.Secret(base + "/services/" + canary))),
				"pagerduty": made(t)(NewPagerDuty(base, canary)),
				"webhook": made(t)(NewWebhook(migration.Secret(base+"/"+canary),
					signingSecret())),
			} {
				err := ch.Send(t.Context(), alertOf("orders/x", Error))
				if err == nil || !strings.Contains(err.Error(), c.says) ||
					WaitOf(err) != c.wait {
					t.Errorf("%s: %v, waits %s", name, err, WaitOf(err))
				} else if strings.Contains(err.Error(), "CANARY") ||
					strings.Contains(err.Error(), "you sent") {
					t.Errorf("%s tells too much: %v", name, err)
				}
			}
		})
	}
	t.Cleanup(func() {
		if len(elsewhere.got) > 0 {
			t.Error("a redirect was followed")
		}
	})
}

func TestOnlyAddressesThatMayBeReachedAreDialled(t *testing.T) {
	t.Parallel()
	for address, c := range map[string]struct {
		loopback, ok bool
	}{
		"203.0.113.9:443": {false, true}, "10.1.2.3:443": {false, true},
		"127.0.0.1:443": {false, false}, "127.0.0.1:80": {true, true},
		"[::1]:443":          {false, false},
		"169.254.169.254:80": {false, false}, "[::ffff:169.254.169.254]:80": {false, false},
		"[fe80::1]:443": {false, false}, "0.0.0.0:443": {false, false},
		"224.0.0.1:443":  {false, false},
		"203.0.113.9:80": {true, false},
	} {
		if err := dialControl(c.loopback)("tcp", address, nil); (err == nil) != c.ok {
			t.Errorf("%s with loopback %v: %v", address, c.loopback, err)
		}
	}
}

func TestSettingsThatCouldNotWorkAreRefusedWithoutBeingQuoted(t *testing.T) {
	t.Parallel()
	for rule, err := range map[string]error{
		"plain http to another machine": second(NewSlack("http://hooks.example.com/" + canary)),
		"no address":                    second(NewSlack("not a url " + canary)),
		"another scheme": second(NewWebhook("ftp://127.0.0.1/"+canary,
			signingSecret())),
		"a short signing secret": second(NewWebhook("https://example.com/",
			"whsec_Q0FOQVJZ")),
		"no base64": second(NewWebhook("https://example.com/", canary)),
		"plain SMTP to another machine": second(NewEmail(SMTP{Addr: "mail.example.com:25",
			Security: PlainTCP, From: "a@example.com", To: []string{"b@example.com"}})),
		"no port": second(NewEmail(SMTP{Addr: "mail.example.com",
			From: "a@example.com", To: []string{"b@example.com"}})),
		"no address to write to": second(NewEmail(SMTP{Addr: "mail.example.com:587",
			From: "a@example.com", To: []string{"nobody"}})),
	} {
		if migration.KindOf(err) != migration.Invalid || err == nil ||
			strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "Q0FO") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func second(_ Channel, err error) error { return err }

func TestKeysAreStableAndFitEveryReceiver(t *testing.T) {
	t.Parallel()
	if got := Key("orders", "outage", "stripe"); got != "orders/outage/stripe" {
		t.Error(got)
	}
	a, b := Key("orders", strings.Repeat("x", 300)+"a"), Key("orders",
		strings.Repeat("x", 300)+"b")
	if a == b || len(a) > 255 || a != Key("orders", strings.Repeat("x", 300)+"a") ||
		!strings.HasPrefix(a, "orders/xxx") {
		t.Errorf("%q %q", a, b)
	}
}
