package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

// entry is an event as it came.
type entry struct {
	ledger.Event
	damage string // why it cannot be told; then only Seq is known
}

// parse reads a page's events. What cannot even be numbered is an error.
func (e *epoch) parse(page ingestion.Journal) ([]entry, error) {
	out := make([]entry, 0, len(page.Events))
	for _, raw := range page.Events {
		var x entry
		if x.damage = damageOf(raw, &x.Event); x.damage != "" {
			var numbered struct {
				Seq int64 `json:"seq"`
			}
			if err := json.Unmarshal(raw, &numbered); err != nil {
				return nil, errors.New("it holds something that is no event")
			}
			x.Event = ledger.Event{Seq: numbered.Seq}
		}
		if x.Seq < 1 || len(out) > 0 && x.Seq <= out[len(out)-1].Seq {
			return nil, fmt.Errorf("event %d comes out of its order", x.Seq)
		}
		out = append(out, x)
	}
	if n := len(out); n > 0 && page.Next != out[n-1].Seq {
		return nil, fmt.Errorf("it says that event %d comes last, and gives event %d", page.Next,
			out[n-1].Seq)
	}
	return out, nil
}

// damageOf reads an event, and says why it cannot be told. An id that is no text could be
// taken for another one.
func damageOf(raw []byte, e *ledger.Event) string {
	switch {
	case len(raw) > maxEvent:
		return fmt.Sprintf("it has %d bytes", len(raw))
	case !utf8.Valid(raw):
		return "it is no text"
	}
	if err := json.Unmarshal(raw, e); err != nil {
		return "it is no event"
	}
	if e.At <= 0 {
		return "it has no time"
	}
	for _, id := range []string{e.Order, e.JobID, e.Queue, e.EventID, e.Provider} {
		if len(id) > maxID || strings.ContainsAny(id, "\uFFFD\x00") {
			return "it names what has no name"
		}
	}
	return ""
}

// digest recognises an event.
func (x entry) digest() string {
	h := fnv.New64a()
	_ = json.NewEncoder(h).Encode([]any{x.Seq, x.At, x.Type, x.Order, x.JobID, x.Outcome,
		x.Status, x.damage})
	return fmt.Sprintf("%016x", h.Sum64())
}

// joins reports whether events begin with the one that was read last, or with the first.
func (e *epoch) joins(events []entry, next int64) bool {
	switch {
	case e.Next == 0 && len(events) == 0:
		return next == 0
	case e.Next == 0:
		return events[0].Seq == 1
	}
	return len(events) > 0 && events[0].Seq == e.Next &&
		(e.Last == "" || events[0].digest() == e.Last)
}

// ahead leaves out of a page that was asked for behind the event began what another address told
// of the journal meanwhile. Behind: that is all of it.
func (e *epoch) ahead(events []entry, began int64) (rest []entry, behind bool) {
	if len(events) == 0 || events[0].Seq != began+1 || e.Next <= events[0].Seq {
		return events, false
	}
	for i := range events {
		if events[i].Seq >= e.Next {
			return events[i:], false
		}
	}
	return nil, true
}

// broken says why a journal does not go on where it was read to. One that does not begin
// with its first event is read from where it begins; what comes instead of events that were
// read is not: it may be anything.
func (e *epoch) broken(events []entry) string {
	switch {
	case e.Next > 0:
		return fmt.Sprintf("event %d, which was read, is gone or another one", e.Next)
	case len(events) == 0:
		return "it has no events, and counts them all the same"
	}
	e.Next, e.Last = events[0].Seq, ""
	return fmt.Sprintf("it begins with event %d", e.Next)
}
