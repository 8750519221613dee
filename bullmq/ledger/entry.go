package ledger

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Lane is one queue on one side: the real one, or its shadow, where copies run
// without side effects.
type Lane struct {
	Side   string `json:"side"` // Source, Target
	Queue  string `json:"queue"`
	Shadow bool   `json:"shadow,omitempty"`
}

// The sides.
const (
	Source = "source"
	Target = "target"
)

func (l Lane) String() string {
	if l.Shadow {
		return l.Side + " " + l.Queue + " (shadow)"
	}
	return l.Side + " " + l.Queue
}

// place is a lane's index within Life.Stays.
func (l Lane) place() int {
	i := 0
	if l.Side == Target {
		i = 2
	}
	if l.Shadow {
		i++
	}
	return i
}

// Position is the id of a stream entry: the server's clock in unix ms, and a
// sequence number. The zero position precedes every entry.
type Position struct {
	MS  int64 `json:"ms"`
	Seq int64 `json:"seq"`
}

// ParsePosition reads "<ms>-<seq>".
func ParsePosition(s string) (Position, error) {
	ms, seq, ok := strings.Cut(s, "-")
	p := Position{}
	var err error
	if p.MS, err = strconv.ParseInt(ms, 10, 64); ok && err == nil {
		p.Seq, err = strconv.ParseInt(seq, 10, 64)
	}
	if !ok || err != nil || p.MS < 0 || p.Seq < 0 {
		return Position{}, fmt.Errorf(
			"%.60q is not a stream entry id such as 1795500000000-0", s)
	}
	return p, nil
}

func (p Position) String() string { return fmt.Sprintf("%d-%d", p.MS, p.Seq) }

// Before reports whether p precedes q.
func (p Position) Before(q Position) bool {
	return p.MS < q.MS || p.MS == q.MS && p.Seq < q.Seq
}

// Entry is one entry of a queue's events stream. BullMQ writes it in the same
// script as the change it reports.
type Entry struct {
	At    Position
	Event string // added, waiting, active, completed, ...
	// "" for events that concern no single job: drained, paused, resumed, cleaned
	Job string
	Due int64 // of delayed: unix ms; 0 for none
	// Outcome and Result are fields of a completed job's return value, if it is a
	// JSON object that has them: what the run did (an Outcome constant) and a hash
	// of its result. Outcome is "" for an app that does not report it.
	Outcome string
	Result  string
}

// ParseEntry reads an entry as Redis returns it: its id and its fields, names and
// values alternating. An odd number of fields, two events or none is an error: an
// entry we do not understand must not pass for one that says nothing.
func ParseEntry(id string, fields []string) (Entry, error) {
	at, err := ParsePosition(id)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{At: at}
	if len(fields)%2 != 0 {
		return Entry{}, fmt.Errorf(
			"stream entry %s has %d fields, which are not pairs of name and value", id,
			len(fields))
	}
	for i := 0; i < len(fields); i += 2 {
		value := fields[i+1]
		switch fields[i] {
		case "event":
			if e.Event != "" {
				return Entry{}, fmt.Errorf("stream entry %s has two events", id)
			}
			e.Event = value
		case "jobId":
			e.Job = value
		case "delay":
			due, err := strconv.ParseFloat(value, 64) // some versions write a fraction
			if err == nil && due > 0 && due < 1<<53 {
				e.Due = int64(due)
			}
		case "returnvalue":
			e.Outcome, e.Result = readReturn(value)
		}
	}
	if e.Event == "" {
		return Entry{}, fmt.Errorf("stream entry %s has no event", id)
	}
	return e, nil
}

// readReturn extracts outcome and result from a return value. An app may return
// anything; whatever is not such an object is ignored.
func readReturn(value string) (outcome, result string) {
	if !strings.HasPrefix(value, "{") ||
		!strings.Contains(value, `"outcome"`) && !strings.Contains(value, `"result"`) {
		return "", ""
	}
	var r struct {
		Outcome any `json:"outcome"`
		Result  any `json:"result"`
	}
	if json.Unmarshal([]byte(value), &r) != nil {
		return "", ""
	}
	outcome, _ = r.Outcome.(string)
	result, _ = r.Result.(string)
	return outcome, result
}
