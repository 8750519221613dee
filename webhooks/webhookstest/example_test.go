package webhookstest

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// delivery is one case for the example app's own code.
type delivery struct {
	Provider string              `json:"provider"`
	Headers  map[string][]string `json:"headers"`
	Body     []byte              `json:"body"`
	Secrets  []string            `json:"secrets"`
	Now      int64               `json:"now"` // unix ms

	what string
}

// TestTheExampleAppJudgesDeliveriesAsThisPackageDoes: who may deliver, which order it
// is and under which job id, in TypeScript as in Go.
func TestTheExampleAppJudgesDeliveriesAsThisPackageDoes(t *testing.T) {
	t.Parallel()
	var all []delivery
	for _, p := range webhooks.Senders() {
		all = append(all, proofs(p)...)
		all = append(all, bodies(p)...)
	}
	var in bytes.Buffer
	for _, d := range all {
		if err := json.NewEncoder(&in).Encode(d); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "../../examples/ingestion/test/judge.mjs")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v (is it built: make node?)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(all) {
		t.Fatalf("%d answers to %d deliveries", len(lines), len(all))
	}
	good, orders := 0, 0
	for i, d := range all {
		var app struct {
			Verified   bool
			Job, Error string
			Order      struct {
				ID, Provider string
				Amount       int64
			}
		}
		if err := json.Unmarshal([]byte(lines[i]), &app); err != nil {
			t.Fatal(err)
		}
		p, _ := webhooks.ByID(d.Provider)
		h := http.Header{}
		for name, values := range d.Headers {
			h[http.CanonicalHeaderKey(name)] = values
		}
		var secrets []migration.Secret
		for _, s := range d.Secrets {
			secrets = append(secrets, migration.Secret(s))
		}
		e, err := p.Verify(h, d.Body, secrets, time.UnixMilli(d.Now))
		if verified :=
			migration.KindOf(err) != migration.Unauthenticated; app.Verified != verified {
			t.Errorf("%s, %s: the app says verified %v, this package %v (%v)", d.Provider,
				d.what, app.Verified, verified, err)
		}
		if err != nil {
			continue
		}
		good++
		switch id := e.OrderID(); {
		case id == "":
			if !strings.Contains(app.Error, "names no order") {
				t.Errorf("%s, %s: no order, but the app says %+v", d.Provider, d.what, app)
			}
		case app.Job != e.JobID() || app.Order.ID != id || app.Order.Provider != p.ID ||
			app.Order.Amount != value:
			t.Errorf("%s, %s: the app says %+v, this package job %s, order %s", d.Provider,
				d.what, app, e.JobID(), id)
		default:
			orders++
		}
	}
	if good < 100 || orders < 90 {
		t.Errorf("only %d deliveries were good, with %d orders: that shows little",
			good, orders)
	}
}

// value is what 1.15 times 100 is not in floating point.
const value = 115

var ids = []string{"ord_1", "1001", "820982911946154508", "a/b", "a:b", "ö€😀", "a b",
	strings.Repeat("x", 129), strings.Repeat("x", 128), "\u2028\"\\\n"}

// proofs are signatures, right and wrong.
func proofs(p webhooks.Sender) (out []delivery) {
	random := rand.New(rand.NewPCG(1, 2))
	both := secretsOf(p.ID)
	for _, c := range []struct {
		what   string
		signed []migration.Secret
		known  []string
		late   time.Duration
		change func(http.Header, []byte) []byte
	}{
		{what: "signed with the first", signed: both[:1]},
		{what: "signed with the second", signed: both[1:]},
		{what: "signed with both", signed: both},
		{what: "signed with another", signed: []migration.Secret{"another"}},
		{what: "no secret is known", signed: both[:1], known: []string{}},
		{what: "as old as may be", signed: both, late: p.Tolerance},
		{what: "older", signed: both, late: p.Tolerance + time.Second},
		{what: "older by less than a second", signed: both,
			late: p.Tolerance + time.Millisecond},
		{what: "as far ahead as may be", signed: both, late: -p.Tolerance},
		{what: "farther ahead", signed: both, late: -p.Tolerance - time.Second},
		{what: "the header twice", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Add(p.Header, h.Get(p.Header))
			return b
		}},
		{what: "no header", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Del(p.Header)
			return b
		}},
		{what: "an empty header", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Set(p.Header, "")
			return b
		}},
		{what: "a second time", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Set(p.Header, h.Get(p.Header)+",t=1")
			return b
		}},
		{what: "upper case", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Set(p.Header, strings.ToUpper(h.Get(p.Header)))
			return b
		}},
		{what: "a further signature", signed: both,
			change: func(h http.Header, b []byte) []byte {
				h.Set(p.Header, h.Get(p.Header)+",v1=00,v0=1")
				return b
			}},
		{what: "a time that is none", signed: both,
			change: func(h http.Header, b []byte) []byte {
				h.Set("X-Webhook-Clickfunnels-Timestamp", "soon")
				return b
			}},
		{what: "padding left out", signed: both, change: func(h http.Header, b []byte) []byte {
			h.Set(p.Header, strings.TrimRight(h.Get(p.Header), "="))
			return b
		}},
		{what: "a longer body", signed: both, change: func(_ http.Header, b []byte) []byte {
			return append(b, ' ')
		}},
		{what: "a signed body that is no object", change: func(h http.Header, _ []byte) []byte {
			b := []byte(`[1]`)
			p.Sign(h, b, both, begin)
			return b
		}},
	} {
		h, body := p.Request(webhooks.Order{ID: "ord_1", At: begin, Value: value}, 0,
			c.signed, begin)
		if c.change != nil {
			body = c.change(h, body)
		}
		out = append(out, of(p, c.what, h, body, c.known, begin.Add(c.late)))
	}
	for range 60 {
		// One signature: of a damaged one beside a good one Stripe's library takes the
		// whole header for damaged, the app only that one.
		h, body := p.Request(webhooks.Order{ID: "ord_1", At: begin, Value: value}, 0,
			both[:1], begin)
		if signature := []byte(h.Get(p.Header)); random.IntN(3) > 0 {
			signature[random.IntN(len(signature))] =
				"0123456789abcdefABCDEFxyz=,.+/- tv"[random.IntN(34)]
			h.Set(p.Header, string(signature))
		} else {
			body[random.IntN(len(body))] ^= byte(1 + random.IntN(255))
		}
		out = append(out, of(p, "something changed: "+h.Get(p.Header), h, body, nil, begin))
	}
	return out
}

// bodies are signed, with ids of all kinds.
func bodies(p webhooks.Sender) (out []delivery) {
	add := func(what string, o webhooks.Order, change func(http.Header, map[string]any)) {
		o.At, o.Value = begin, value
		h, body := p.Request(o, 0, secretsOf(p.ID), begin)
		if change != nil {
			var fields map[string]any
			decoder := json.NewDecoder(bytes.NewReader(body))
			decoder.UseNumber()
			_ = decoder.Decode(&fields) // what was made here is JSON
			change(h, fields)
			body, _ = json.Marshal(fields)
			p.Sign(h, body, secretsOf(p.ID), begin)
		}
		out = append(out, of(p, what, h, body, nil, begin))
	}
	for _, id := range ids {
		add("order "+id, webhooks.Order{ID: id}, nil)
		if !strings.ContainsAny(id, "ö\n") { // Go writes headers as they are
			add("event "+id, webhooks.Order{ID: "ord_1", Event: id}, nil)
		}
	}
	add("with all there is", webhooks.Order{ID: "ord_1", Customer: "7",
		Items: []webhooks.Item{{SKU: "a", Qty: 2, Price: 1}},
		Extra: map[string]any{"switchyard_delay_ms": 5}}, nil)
	for _, names := range [][]string{{"id"}, {"event_id"}, {"transaction_id"}, {"event_type"},
		{"source"}, {"subject"}, {"subject_id"}, {"order_id"}, {"type"}, {"id", "source"},
		{"event_id", "subject_id"}} {
		for what, odd := range map[string]any{
			"null":          nil,
			"a long number": json.Number("820982911946154508"),
			"a fraction":    json.Number("1.50"),
			"a power":       json.Number("1e3"),
			"a list":        []any{"x"},
			"true":          true,
			"empty":         "",
			"with-a-dash":   "with-a-dash",
		} {
			add(strings.Join(names, ", ")+": "+what, webhooks.Order{ID: "ord_1"},
				func(_ http.Header, fields map[string]any) {
					for _, name := range names {
						fields[name] = odd
					}
				})
		}
		add("without "+strings.Join(names, ", "), webhooks.Order{ID: "ord_1"},
			func(_ http.Header, fields map[string]any) {
				maps.DeleteFunc(fields, func(k string, _ any) bool {
					for _, name := range names {
						if k == name {
							return true
						}
					}
					return false
				})
			})
	}
	add("without headers of its own", webhooks.Order{ID: "ord_1"},
		func(h http.Header, fields map[string]any) {
			h.Del("X-Shopify-Event-Id")
			h.Del("X-Cope-Event-Id")
			if p.ID == "cope" {
				delete(fields, "id")
			}
		})
	return out
}

func of(
	p webhooks.Sender, what string, h http.Header, body []byte, known []string,
	now time.Time,
) delivery {
	d := delivery{Provider: p.ID, Headers: map[string][]string{}, Body: body, Secrets: known,
		Now: now.UnixMilli(), what: what}
	for name, values := range h {
		d.Headers[strings.ToLower(name)] = values // as Node does
	}
	if known == nil {
		for _, s := range secretsOf(p.ID) {
			d.Secrets = append(d.Secrets, s.Reveal())
		}
	}
	return d
}
