package environment

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
)

// told is the clock of an instance, as its last answer showed it.
type told struct {
	ingestion.Clock
	at time.Time
}

const (
	// maxClocks is how many instances of one journal have their clocks looked at.
	maxClocks = 1000
	// unwrittenFor is how long a worker may keep to itself what belongs into its journal. A
	// batch takes 20 ms; one that cannot be written is tried again each second.
	unwrittenFor = 5 * time.Second
)

// tells takes what a page says of whose journal it is, and of the time there.
func (e *epoch) tells(page ingestion.Journal, at time.Time) {
	e.Instance = cmp.Or(page.Instance, e.Instance)
	if !slices.Equal(e.Instances, page.Instances) {
		e.Instances, e.dirty = page.Instances, true
	}
	for name, c := range e.clocks { // one that is gone dates nothing any more
		if !within(at, c.at, 10*journalFresh) {
			delete(e.clocks, name)
		}
	}
	if e.clocks == nil {
		e.clocks = map[string]told{}
	}
	if len(e.clocks) < maxClocks {
		e.clocks[page.Instance] = told{page.Clock, at}
	}
}

// timeless says whose clock tells nothing of when things happened; "": nobody's.
func (e *epoch) timeless(now time.Time) string {
	if len(e.clocks) == 0 {
		return e.whose() + " does not tell its time"
	}
	for _, name := range sortedKeys(e.clocks) {
		c, who := e.clocks[name], cmp.Or(name, e.whose())
		switch {
		case !c.Known:
			return who + " does not tell its time"
		case c.Off() > clockLimit:
			way := "ahead"
			if c.Ahead < 0 {
				way = "behind"
			}
			return fmt.Sprintf("the clock of %s is %s %s (limit %s)", who,
				migration.Words(c.Ahead.Abs().Round(time.Second)), way,
				migration.Words(clockLimit))
		}
	}
	return ""
}

// warned names the clocks that are off, if by less than too much.
func (e *epoch) warned(now time.Time) (text string) {
	if !within(now, e.current, journalFresh) {
		return ""
	}
	for _, name := range sortedKeys(e.clocks) {
		if c := e.clocks[name]; c.Off() > clockWarn {
			text += fmt.Sprintf("; the clock of %s is off by %s", cmp.Or(name, e.whose()),
				migration.Words(c.Ahead.Abs().Round(time.Second)))
		}
	}
	return text
}

// whose names a journal to people.
func (e *epoch) whose() string {
	switch {
	case len(e.Instances) > 1:
		return strings.Join(e.Instances[:min(len(e.Instances), 4)], ", ")
	case e.Instance != "":
		return e.Instance
	}
	return "the instance with journal " + e.Epoch
}

// names reports whether an instance writes the journal.
func (e *epoch) names(instance string) bool {
	return e.Instance == instance || slices.Contains(e.Instances, instance)
}

// attested are the live workers by their journal and name; nil: nobody knows them.
func (t *Journal) attested() map[[2]string]fleet.Attestation {
	if t.workers == nil {
		return nil
	}
	out := map[[2]string]fleet.Attestation{}
	for _, w := range t.workers() {
		var a fleet.Attestation
		if w.Live && len(w.Attestation) > 0 && json.Unmarshal(w.Attestation, &a) == nil {
			out[[2]string{a.Journal, a.Instance}] = a
		}
	}
	return out
}

// absent are the writers of a journal of several that may have kept something to themselves:
// those that are gone and have not left it, and those that cannot write.
func (e *epoch) absent(attested map[[2]string]fleet.Attestation) (out []migration.Member) {
	if attested == nil || e.Closed || e.Unnamed {
		return nil
	}
	for _, name := range e.Instances {
		m := migration.Member{Key: "journal:" + e.Epoch + ":writer:" + name,
			Name: "what " + name + " wrote into journal " + e.Epoch, Verdict: migration.Unknown}
		a, live := attested[[2]string{e.Epoch, name}]
		switch {
		case !live && len(e.Instances) == 1 && name == e.Instance:
			continue // whoever answers for it is there
		case !live:
			m.Why = "it is gone, and nobody says that nothing of it is missing"
		case a.Unwritten != nil && a.Unwritten.OldestMS > unwrittenFor.Milliseconds():
			m.Key += ":unwritten"
			m.Why = fmt.Sprintf("%s of it, since %s, cannot be written",
				migration.Count(a.Unwritten.Events, "event"),
				migration.Words(time.Duration(a.Unwritten.OldestMS)*time.Millisecond))
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}
