package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/switchyard-dev/switchyard/migration"
)

// scheme is a way to sign. Secrets handed to it are never empty strings.
type scheme interface {
	verify(p Sender, h http.Header, body []byte, secrets []migration.Secret,
		now time.Time) error
	sign(p Sender, h http.Header, body []byte, secrets []migration.Secret, at time.Time)
}

// usable drops empty secrets: anyone can sign with an empty key.
func usable(secrets []migration.Secret) []migration.Secret {
	var out []migration.Secret
	for _, s := range secrets {
		if !s.IsZero() {
			out = append(out, s)
		}
	}
	return out
}

// single gives the one value of a header. Several are refused: an app and a proxy could
// look at different ones.
func single(p Sender, h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", migration.Errorf(migration.Unauthenticated,
			"a webhook of %s has one header %s; this one has %d", p.Name, name, len(values))
	}
	return values[0], nil
}

func unproven(p Sender, secrets []migration.Secret) error {
	if len(secrets) == 0 {
		return migration.Errorf(migration.Unauthenticated, "there is no secret to check "+
			"webhooks of %s with: configure the one that the provider shows", p.Name)
	}
	return migration.Errorf(migration.Unauthenticated,
		"%s does not match the body with any of %d secrets: check the secret, and that "+
			"nothing changes the body before this check", p.Header, len(secrets))
}

// fresh checks the time in a signature against now, both ways: a time far ahead would
// stay valid for as long.
func fresh(p Sender, seconds string, now time.Time) error {
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return migration.Errorf(migration.Unauthenticated,
			"the time in the signature of %s is not a number of seconds", p.Name)
	}
	if skew := now.Sub(time.Unix(unix, 0)); skew > p.Tolerance || skew < -p.Tolerance {
		return migration.Errorf(migration.Unauthenticated,
			"the signature of %s is %s old, at most %s either way is accepted: check this "+
				"machine's clock", p.Name, migration.Words(skew), migration.Words(p.Tolerance))
	}
	return nil
}

func mac(secret migration.Secret, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, []byte(secret.Reveal()))
	for _, part := range parts {
		_, _ = m.Write(part) // a hash never fails
	}
	return m.Sum(nil)
}

// proves compares in constant time, with every secret.
func proves(given []byte, secrets []migration.Secret, parts ...[]byte) bool {
	ok := false
	for _, s := range secrets {
		if hmac.Equal(given, mac(s, parts...)) {
			ok = true
		}
	}
	return ok
}

// fields reads "t=1,v1=ab,v1=cd". Exactly one t is allowed, so that the time that is
// checked is the time that is signed.
func fields(p Sender, header string) (t string, v1 []string, err error) {
	times := 0
	for pair := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		switch key {
		case "t":
			t = value
			times++
		case "v1":
			v1 = append(v1, value)
		}
	}
	if times != 1 || len(v1) == 0 {
		return "", nil, migration.Errorf(migration.Unauthenticated,
			"%s of %s is not t=TIME,v1=SIGNATURE", p.Header, p.Name)
	}
	return t, v1, nil
}

// official is Stripe's scheme by Stripe's library: hex HMAC-SHA256 of "t.body", one v1
// for each active secret. The library measures age by the machine's clock and takes any
// time ahead of it, so age is checked here.
type official struct{}

func (official) verify(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, now time.Time,
) error {
	header, err := single(p, h, p.Header)
	if err != nil {
		return err
	}
	t, _, err := fields(p, header)
	if err != nil {
		return err
	}
	ok := false
	for _, s := range secrets {
		if webhook.ValidatePayloadIgnoringTolerance(body, header, s.Reveal()) == nil {
			ok = true
		}
	}
	if !ok {
		return unproven(p, secrets)
	}
	return fresh(p, t, now)
}

func (official) sign(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, at time.Time,
) {
	timed{}.sign(p, h, body, secrets, at)
}

// timed is the same scheme by hand, for COPE.
type timed struct{}

func (timed) verify(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, now time.Time,
) error {
	header, err := single(p, h, p.Header)
	if err != nil {
		return err
	}
	t, v1, err := fields(p, header)
	if err != nil {
		return err
	}
	ok := false
	for _, text := range v1 {
		if given, err := hex.DecodeString(text); err == nil &&
			proves(given, secrets, []byte(t+"."), body) {
			ok = true
		}
	}
	if !ok {
		return unproven(p, secrets)
	}
	return fresh(p, t, now)
}

func (timed) sign(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, at time.Time,
) {
	t := strconv.FormatInt(at.Unix(), 10)
	header := "t=" + t
	for _, s := range secrets {
		header += ",v1=" + hex.EncodeToString(mac(s, []byte(t+"."), body))
	}
	h.Set(p.Header, header)
}

// split is ClickFunnels' scheme: hex HMAC-SHA256 of "timestamp.body", with the time in
// a header of its own.
type split struct{ timestamp string }

var digits = regexp.MustCompile(`^[0-9]{1,12}$`)

func (s split) verify(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, now time.Time,
) error {
	signature, err := single(p, h, p.Header)
	if err != nil {
		return err
	}
	t, err := single(p, h, s.timestamp)
	if err != nil {
		return err
	}
	if !digits.MatchString(t) {
		return migration.Errorf(migration.Unauthenticated,
			"%s of %s is not a number of seconds", s.timestamp, p.Name)
	}
	given, err := hex.DecodeString(signature)
	if err != nil || !proves(given, secrets, []byte(t+"."), body) {
		return unproven(p, secrets)
	}
	return fresh(p, t, now)
}

func (s split) sign(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, at time.Time,
) {
	t := strconv.FormatInt(at.Unix(), 10)
	h.Set(s.timestamp, t)
	for _, secret := range secrets[:min(1, len(secrets))] {
		h.Set(p.Header, hex.EncodeToString(mac(secret, []byte(t+"."), body)))
	}
}

// bare is the scheme of Shopify and CopeCart: base64 HMAC-SHA256 of the body. It holds
// no time: whoever captured a delivery can send it again for ever, and only the dedupe
// key stops it.
type bare struct{}

func (bare) verify(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, _ time.Time,
) error {
	signature, err := single(p, h, p.Header)
	if err != nil {
		return err
	}
	given, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil || !proves(given, secrets, body) {
		return unproven(p, secrets)
	}
	return nil
}

func (bare) sign(
	p Sender, h http.Header, body []byte, secrets []migration.Secret, _ time.Time,
) {
	for _, secret := range secrets[:min(1, len(secrets))] {
		h.Set(p.Header, base64.StdEncoding.EncodeToString(mac(secret, body)))
	}
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// identifier is what may stand in a BullMQ job id as it is; a colon may not.
var identifier = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// JobID gives the job id of the event: the same for every delivery of it, different for
// any other event of any provider. A key that may not stand in a job id is replaced by
// its hash.
func (e Event) JobID() string {
	key := e.Key
	if !identifier.MatchString(key) {
		key = digest([]byte(key))
	}
	return e.Sender + "_" + key
}

// OrderID gives the id that names the event's order in an app's journal: the provider's
// own at Stripe, else with the provider before it, since two providers may use the
// same. A colon stands in no id of Stripe's and in no job id. Empty when the event
// names no order.
func (e Event) OrderID() string {
	id := e.Object
	switch {
	case id == "":
		return ""
	case !identifier.MatchString(id):
		id = digest([]byte(id))
	}
	if e.Sender == "stripe" {
		return id
	}
	return e.Sender + ":" + id
}
