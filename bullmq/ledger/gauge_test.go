package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func TestGaugesTellWhatTheReadingsShowedAndNothingOfWhatWasNotRead(t *testing.T) {
	t.Parallel()
	at := lane(ledger.Source, false)
	l := ledger.NewStreams(ledger.Options{Deadline: time.Minute})
	now, written := int64(1_764_000_000_000), int64(0)
	read := func(r ledger.Reading, events ...string) {
		r.End, r.At, r.Took = true, now, 3*time.Millisecond
		for _, e := range events {
			written++
			entry := ledger.Entry{
				At: ledger.Position{MS: now - 100, Seq: written}, Event: e, Job: "evt_1",
			}
			r.Entries, r.Last = append(r.Entries, entry), entry.At
		}
		r.Added = -1
		l.Read(at, r)
	}
	if got := l.Gauges(); len(got) != 0 {
		t.Fatalf("before anything was read: %+v", got)
	}
	read(ledger.Reading{Jobs: 3, Waits: 2, Next: "unknown"})
	got := l.Gauges()
	if len(got) != 1 || got[0].Jobs != 3 || got[0].OldestMS != -1 || got[0].Events != nil {
		t.Fatalf("the first reading tells no rate, nor the age of an unknown job: %+v", got)
	}
	if got = l.Gauges(); len(got) != 0 {
		t.Fatalf("nothing was read since: %+v", got)
	}
	now += 10_000
	read(ledger.Reading{Jobs: 1, Waits: 1, Next: "evt_1"}, "added", "waiting")
	now += 1000
	read(ledger.Reading{Jobs: 1, Waits: 1, Next: "evt_1"})
	if got = l.Gauges(); len(got) != 1 || got[0].OldestMS != 1100 || got[0].Events["added"] != 1 ||
		got[0].Over != 11*time.Second || len(got[0].Trips) != 2 {
		t.Fatalf("%+v", got)
	}
	now += 5000
	read(ledger.Reading{})
	if got = l.Gauges(); len(got) != 1 || got[0].OldestMS != 0 || got[0].Events == nil ||
		len(got[0].Events) != 0 {
		t.Fatalf("nothing waits, and nothing happened: %+v", got)
	}
	l.Failed(at, errors.New("does not answer"))
	now += 5000
	if got = l.Gauges(); len(got) != 0 {
		t.Fatalf("a lane that cannot be read: %+v", got)
	}
	now += 600_000
	read(ledger.Reading{Jobs: 9}, "added")
	if got = l.Gauges(); len(got) != 1 || got[0].Jobs != 9 || got[0].Events != nil {
		t.Fatalf("no rate over a time in which nobody read: %+v", got)
	}
}
