// Package notify sends what people must hear of to Slack, PagerDuty, a signed webhook
// or an e-mail address. It knows what a message looks like there and why one was not
// taken; what is worth a message, when it is tried again and what was sent already is
// its caller's.
//
// A message may come twice: after a crash between sending and writing down that it was
// sent. Its Key and ID are then the same, and receivers go by them: PagerDuty by
// dedup_key, webhooks by webhook-id, mail programs by Message-ID. No error of this
// package names a credential, nor quotes what a server answered, which may repeat one.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/switchyard-dev/switchyard/migration"
)

// Kind is what a message is about.
type Kind string

// Kinds. Only an alert may wake somebody; Resolve ends the alert with the same Key. A digest is
// for reading: no pager takes one.
const (
	Approval Kind = "approval" // a run waits for somebody's decision, or got it
	Change   Kind = "change"   // something in production is being changed, or was
	Alert    Kind = "alert"
	Resolve  Kind = "resolve"
	Test     Kind = "test"
	Digest   Kind = "digest"
)

// Severity is how bad it is, in PagerDuty's words.
type Severity string

// Severities, ascending.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Error    Severity = "error"
	Critical Severity = "critical"
)

// Severities lists them in ascending order.
var Severities = []Severity{Info, Warning, Error, Critical}

// Less reports whether s is less bad than other.
func (s Severity) Less(other Severity) bool {
	return slices.Index(Severities, s) < slices.Index(Severities, other)
}

// Event is one message. Its texts hold no credential, no payload and no customer's
// data; an order's id is all that is told of an order.
type Event struct {
	// ID is the message's own; a repeat has the same. Key is the same for everything
	// that is said of one thing: an alert, its escalations and its end. At most 255
	// characters: Key makes one.
	ID       string   `json:"id"`
	Key      string   `json:"key"`
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Source   string   `json:"source"` // the migration's name
	Title    string   `json:"title"`  // one line
	Text     string   `json:"text,omitempty"`
	URL      string   `json:"url,omitempty"` // the page to look at
	// Runbook is the page that says what to do.
	Runbook string `json:"runbook,omitempty"`
	// Run is the run of ours during which an alert began.
	Run string    `json:"run,omitempty"`
	At  time.Time `json:"at"`
}

// Channel is one place that messages go to. Send returns once the receiver has taken
// the message on, or an error: a *Failure, unless ctx ended.
type Channel interface {
	Send(ctx context.Context, e Event) error
}

const (
	maxKey   = 255 // PagerDuty's limit of dedup_key
	maxTitle = 250
	maxText  = 2000
	// maxDigest is what a digest may say: it is read at leisure. Slack cuts at 4000.
	maxDigest = 3600
	// Timeout bounds one attempt.
	Timeout = 10 * time.Second
)

// Key joins parts to a stable key. One that would be too long ends in a hash of the
// whole.
func Key(parts ...string) string {
	key := strings.Join(parts, "/")
	if len(key) <= maxKey {
		return key
	}
	hash := "#" + digest(key)[:16]
	return strings.ToValidUTF8(key[:maxKey-len(hash)], "") + hash
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Bounded gives the event with texts that every receiver takes: no control characters,
// and not longer than people read.
func (e Event) Bounded() Event {
	most := maxText
	if e.Kind == Digest {
		most = maxDigest
	}
	e.Title, e.Text = clip(line(e.Title), maxTitle),
		clip(strings.TrimSpace(clean(e.Text)), most)
	e.Source = clip(line(e.Source), maxTitle)
	return e
}

func line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}

// heading is the first line where colours and icons are not to be relied on.
func (e Event) heading() string {
	switch e.Kind {
	case Alert:
		return strings.ToUpper(string(e.Severity)) + ": " + e.Title
	case Resolve:
		return "OVER: " + e.Title
	case Approval, Change, Test, Digest:
	}
	return e.Title
}

// Failure is why a message was not taken. Its text is for everybody: it holds no
// credential.
//
//nolint:errname // it is no fault of the program: a receiver refused
type Failure struct {
	Reason string
	// Wait is how long the receiver asked to be left alone. 0: it did not say.
	Wait time.Duration
}

func (f *Failure) Error() string { return f.Reason }

// WaitOf gives how long the receiver that failed a message asked to be left alone.
func WaitOf(err error) time.Duration {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Wait
	}
	return 0
}

func failure(format string, args ...any) *Failure {
	return &Failure{Reason: fmt.Sprintf(format, args...)}
}

// hiding takes credentials out of whatever a channel's error says: nothing should have
// put them there, and a library might.
func hiding(err error, secrets ...migration.Secret) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = failure("%s", err)
	}
	for _, s := range secrets {
		if !s.IsZero() {
			f.Reason = strings.ReplaceAll(f.Reason, s.Reveal(), "redacted")
		}
	}
	return f
}
