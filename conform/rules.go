package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
)

// rule is one sentence of the contract.
type rule struct {
	id, must string
	try      func(*trial, context.Context) (said string, err error)
}

var rules = []rule{
	{"health", "GET /healthz answers 200 while the process can take orders", (*trial).health},
	{"token", "without the token, or with another one, every address answers 401", (*trial).token},
	{"page", "the journal has an epoch, the instance's name, next and events", (*trial).page},
	{"contract", "the journal says which version of the contract it keeps: 2", (*trial).version},
	{"clock", "now is the app's clock, unix ms, within 2 s of Switchyard's", (*trial).clock},
	{"order", "events are numbered from 1 without a gap, and next is the last one's",
		(*trial).order},
	{"canary", "a canary of the app's queue is added as an order is, and answered with 200, " +
		"queue, side and endpoint", (*trial).canary},
	{"canary-journal", "the journal shows its delivery, that it was enqueued, and that a worker " +
		"ran it, each once", (*trial).journaled},
	{"canary-digest", "the worker's digest is that of what was added", (*trial).digest},
	{"canary-times", "events are journaled as they happen", (*trial).times},
	{"canary-again", "the same canary again is taken, and not run a second time", (*trial).again},
	{"events", "each event has its time and a known type, and its ids are text", (*trial).known},
	{"limit", "a page has no more events than it is asked for", (*trial).limit},
	{"after", "a page begins behind after, and leaves none out", (*trial).behind},
	{"stable", "what was read once is the same ever after", (*trial).stable},
	{"cursor", "of several cursors the one of this epoch counts; without, it begins at the start",
		(*trial).cursor},
	{"queue", "a canary of another app's queue is refused with 422, and journaled nowhere",
		(*trial).queue},
	{"body", "a canary that is none is refused with 400", (*trial).body},
	{"replay", "an event of a provider that nobody knows is refused with 400 or 422, and " +
		"journaled nowhere", (*trial).replay},
	{"drill", "a drill of another app's queue is refused with 422, or drills with 404",
		(*trial).drill},
	{"form", "every answer is as the contract's OpenAPI document says", (*trial).formed},
}

func (t *trial) health(ctx context.Context) (string, error) {
	status, body, err := t.call(ctx, http.MethodGet, "/healthz", "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", status, body)
	}
	return "200", err
}

func (t *trial) token(ctx context.Context) (string, error) {
	for _, door := range []struct{ method, path, body string }{
		{http.MethodGet, "/switchyard/journal?after=0", ""},
		{http.MethodPost, "/switchyard/canary", `{"id":"canary_conform_nobody"}`},
		{http.MethodPost, "/switchyard/replay?provider=stripe", `{}`},
		{http.MethodPost, "/switchyard/drill", `{"op":"close","id":"conform"}`},
	} {
		for _, token := range []string{"", "not the token"} {
			var body []byte
			if door.body != "" {
				body = []byte(door.body)
			}
			status, _, err := t.call(ctx, door.method, door.path, token, body)
			if err != nil {
				return "", err
			}
			if status != http.StatusUnauthorized && (status != http.StatusNotFound ||
				door.path != "/switchyard/drill") {
				return "", fmt.Errorf("%s %s answers %d to a stranger", door.method, door.path,
					status)
			}
		}
	}
	return "401 at every address", nil
}

func (t *trial) page(ctx context.Context) (string, error) {
	p, err := t.journal(ctx, after(0, pageSize))
	if err != nil {
		return "", err
	}
	switch {
	case p.Epoch == "":
		return "", errors.New("no epoch: it tells one journal from the next, as of a new disk")
	case p.Instance == "":
		return "", errors.New("no instance: the name that this process attests itself with")
	case p.Next == nil:
		return "", errors.New("no next")
	case p.Events == nil:
		return "", errors.New("no events: an empty list is needed where there are none")
	}
	t.first = p
	return fmt.Sprintf("epoch %s of %s", p.Epoch, p.Instance), nil
}

func (t *trial) formed(context.Context) (string, error) {
	if t.answers == 0 {
		return "", unjudgedError("there was no answer")
	}
	return fmt.Sprintf("%d answers", t.answers), t.misformed
}

func (t *trial) version(context.Context) (string, error) {
	if t.first.Epoch == "" {
		return "", unjudgedError("there is no page")
	}
	if t.first.Contract != migration.Contract {
		return "", fmt.Errorf("it keeps version %d", max(t.first.Contract, 1))
	}
	return strconv.Itoa(migration.Contract), nil
}

func (t *trial) clock(context.Context) (string, error) {
	if t.first.Epoch == "" {
		return "", unjudgedError("there is no page")
	}
	if t.first.Now == 0 {
		return "", errors.New("no now")
	}
	at := time.UnixMilli(t.first.Now)
	early, late := t.first.asked.Sub(at), at.Sub(t.first.answered)
	if off := max(early, late); off > maxOff {
		return "", fmt.Errorf("off by %s", off.Round(time.Millisecond))
	}
	return "within the time of the answer", nil
}

func (t *trial) order(ctx context.Context) (string, error) {
	var err error
	if t.raw, t.events, err = t.read(ctx, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events", len(t.events)), nil
}

// types are those of the contract.
var types = []string{ledger.EventDelivery, ledger.EventKept, ledger.EventEnqueued,
	ledger.EventExecuted, ledger.EventFailed, "closed"}

// known reads the journal again, which has more in it by now.
func (t *trial) known(ctx context.Context) (string, error) {
	t.earlier = t.raw
	var err error
	if t.raw, t.events, err = t.read(ctx, 0); err != nil {
		return "", err
	}
	if len(t.events) == 0 {
		return "", unjudgedError("the journal is empty")
	}
	return fmt.Sprintf("%d events", len(t.events)), judged(t.events, t.raw)
}

func judged(events []ledger.Event, raw []json.RawMessage) error {
	for i, e := range events {
		switch {
		case e.At <= 0:
			return fmt.Errorf("event %d has no time (at, unix ms): %.200s", e.Seq, raw[i])
		case !slices.Contains(types, e.Type):
			return fmt.Errorf("event %d is of the type %q, which is none of %v", e.Seq, e.Type, types)
		case e.Type == ledger.EventEnqueued && (e.JobID == "" || e.Queue == "" || e.Side == ""),
			e.Type == ledger.EventExecuted && (e.JobID == "" || e.Queue == "" || e.Side == ""):
			return fmt.Errorf("event %d lacks one of jobId, queue and side: %.200s", e.Seq, raw[i])
		}
	}
	return nil
}

func (t *trial) limit(ctx context.Context) (string, error) {
	if len(t.events) < 2 {
		return "", unjudgedError("the journal has less than two events")
	}
	p, err := t.journal(ctx, after(0, 1))
	if err == nil && len(p.Events) != 1 {
		err = fmt.Errorf("%d events instead of one", len(p.Events))
	}
	return "one event of several", err
}

func (t *trial) behind(ctx context.Context) (string, error) {
	if len(t.events) < 2 {
		return "", unjudgedError("the journal has less than two events")
	}
	i := len(t.events) / 2
	p, err := t.journal(ctx, after(t.events[i-1].Seq, 1))
	if err != nil {
		return "", err
	}
	if len(p.Events) != 1 || !same(p.Events[0], t.raw[i]) {
		return "", fmt.Errorf("behind event %d comes %.200s, which was %.200s before",
			t.events[i-1].Seq, p.Events, t.raw[i])
	}
	return fmt.Sprintf("behind event %d comes event %d", t.events[i-1].Seq, t.events[i].Seq), nil
}

// same compares two events, whatever the order of their fields.
func same(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	first, err1 := json.Marshal(x)
	second, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(first, second)
}

func (t *trial) stable(ctx context.Context) (string, error) {
	if len(t.raw) == 0 {
		return "", unjudgedError("the journal is empty, or cannot be read")
	}
	raw, _, err := t.read(ctx, 0)
	if err != nil {
		return "", err
	}
	for _, before := range [][]json.RawMessage{t.earlier, t.raw} {
		for i := range before {
			if i >= len(raw) || !same(raw[i], before[i]) {
				return "", fmt.Errorf("what was %.200s is gone or another one", before[i])
			}
		}
	}
	return fmt.Sprintf("%d events read twice", len(t.raw)), nil
}

func (t *trial) cursor(ctx context.Context) (string, error) {
	if len(t.events) < 2 || t.first.Epoch == "" {
		return "", unjudgedError("the journal has less than two events")
	}
	cursors := func(all ...string) url.Values { return url.Values{"cursor": all, "limit": {"1"}} }
	at := strconv.FormatInt(t.events[0].Seq, 10)
	p, err := t.journal(ctx, cursors("another:99999", t.first.Epoch+":"+at))
	if err != nil {
		return "", err
	}
	if len(p.Events) != 1 || !same(p.Events[0], t.raw[1]) {
		return "", fmt.Errorf("with its own cursor at event %s it goes on with %.200s", at, p.Events)
	}
	if p, err = t.journal(ctx, cursors("another:99999")); err != nil {
		return "", err
	}
	if len(p.Events) != 1 || !same(p.Events[0], t.raw[0]) {
		return "", fmt.Errorf("with another journal's cursor alone it begins with %.200s", p.Events)
	}
	return "its own cursor, and none", nil
}
