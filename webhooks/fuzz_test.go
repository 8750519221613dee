package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/switchyard-dev/switchyard/migration"
)

// Each fuzz test says that whatever comes in, nothing is accepted but what the secret
// signs within the tolerance, by a second computation that shares no code with the
// first: Stripe's library for the two schemes of that form, the standard library for
// the others.

func seed(f *testing.F, p Sender) {
	f.Helper()
	for _, secrets := range [][]migration.Secret{{secretA}, {secretA, secretB}, {secretB}} {
		h, body := p.Request(anOrder, 0, secrets, anOrder.At)
		second := ""
		if s, ok := p.scheme.(split); ok {
			second = h.Get(s.timestamp)
		}
		f.Add(h.Get(p.Header), second, body, anOrder.At.Unix())
		f.Add(h.Get(p.Header), second, body, anOrder.At.Unix()+int64(p.Tolerance.Seconds())+1)
		f.Add(strings.ToUpper(h.Get(p.Header)), second, body, anOrder.At.Unix())
		f.Add(h.Get(p.Header)+","+h.Get(p.Header), second+" ", body, anOrder.At.Unix())
	}
	f.Add("", "", []byte("{}"), int64(0))
	f.Add("t=,v1=", "-1", []byte(""), int64(-1))
	f.Add("t=9223372036854775807,v1=00", "9223372036854775807", []byte("null"),
		int64(9223372036854775807))
	f.Add("v1=00,t=1,v0=11", "0x10", []byte("[]"), int64(1))
	f.Add("====", "1e9", []byte("\x00\xff"), int64(1))
}

func fuzz(
	f *testing.F, p Sender,
	proven func(header, second string, body []byte, now int64) bool,
) {
	f.Helper()
	seed(f, p)
	verify := func(header, second string, body []byte, now int64) error {
		h := http.Header{}
		h.Set(p.Header, header)
		if s, ok := p.scheme.(split); ok {
			h.Set(s.timestamp, second)
		}
		_, err := p.Verify(h, body, []migration.Secret{secretA}, time.Unix(now, 0))
		return err
	}
	// What is right is accepted on this way too, by both: else the rest proves nothing.
	h, body := p.Request(anOrder, 0, []migration.Secret{secretA}, anOrder.At)
	second := ""
	if s, ok := p.scheme.(split); ok {
		second = h.Get(s.timestamp)
	}
	if err := verify(h.Get(p.Header), second, body, anOrder.At.Unix()); err != nil ||
		!proven(h.Get(p.Header), second, body, anOrder.At.Unix()) {
		f.Fatalf("a right signature is refused: %v", err)
	}
	f.Fuzz(func(t *testing.T, header, second string, body []byte, now int64) {
		err := verify(header, second, body, now)
		// Invalid: signed, but no object
		accepted := err == nil || migration.KindOf(err) == migration.Invalid
		if accepted && !proven(header, second, body, now) {
			t.Fatalf("accepted %q %q for %q: %v", header, second, body, err)
		}
		if err != nil && strings.Contains(err.Error(), secretA.Reveal()) {
			t.Fatal("the error shows the secret")
		}
	})
}

func within(seconds string, now int64, tolerance time.Duration) bool {
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return false
	}
	limit := int64(tolerance.Seconds())
	return at <= now && now-at >= 0 && now-at <= limit ||
		at > now && at-now > 0 && at-now <= limit
}

func byStripe(p Sender) func(string, string, []byte, int64) bool {
	return func(header, _ string, body []byte, now int64) bool {
		compact := strings.ReplaceAll(header, " ", "") // ours forgives spaces round the parts
		for pair := range strings.SplitSeq(compact, ",") {
			if t, ok := strings.CutPrefix(pair, "t="); ok && !within(t, now, p.Tolerance) {
				return false
			}
		}
		if webhook.ValidatePayloadIgnoringTolerance(body, compact, secretA.Reveal()) == nil {
			return true
		}
		// The library refuses a header with a part that it does not know the form of;
		// ours passes over such parts.
		var known []string
		for pair := range strings.SplitSeq(compact, ",") {
			if strings.Count(pair, "=") == 1 {
				known = append(known, pair)
			}
		}
		return webhook.ValidatePayloadIgnoringTolerance(body, strings.Join(known, ","),
			secretA.Reveal()) == nil
	}
}

func FuzzStripe(f *testing.F) {
	p := Stripe()
	known := byStripe(p)
	fuzz(f, p, func(header, second string, body []byte, now int64) bool {
		return webhook.ValidatePayloadIgnoringTolerance(body, header,
			secretA.Reveal()) == nil && known(header, second, body, now)
	})
}

func FuzzCOPE(f *testing.F) { p := COPE(); fuzz(f, p, byStripe(p)) }

func FuzzClickFunnels(f *testing.F) {
	p := ClickFunnels()
	fuzz(f, p, func(header, second string, body []byte, now int64) bool {
		m := hmac.New(sha256.New, []byte(secretA.Reveal()))
		m.Write([]byte(second + "." + string(body)))
		return strings.ToLower(header) == hex.EncodeToString(m.Sum(nil)) &&
			within(second, now, p.Tolerance)
	})
}

func bareSignature(header, _ string, body []byte, _ int64) bool {
	m := hmac.New(sha256.New, []byte(secretA.Reveal()))
	m.Write(body)
	return strings.NewReplacer("\r", "", "\n",
		"").Replace(header) == base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func FuzzShopify(f *testing.F) { fuzz(f, Shopify(), bareSignature) }

func FuzzCopeCart(f *testing.F) { fuzz(f, CopeCart(), bareSignature) }
