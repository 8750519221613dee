package ledger_test

import (
	"cmp"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func FuzzParseEntry(f *testing.F) {
	f.Add("1795500000000-0", "event", "completed", "jobId", "x", "returnvalue",
		`{"outcome":"applied","result":"a"}`)
	f.Add("1-1", "event", "delayed", "jobId", "repeat:a:1", "delay", "1e300")
	f.Add("-1--1", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, id, a, b, c, d, x, y string) {
		e, err := ledger.ParseEntry(id, []string{a, b, c, d, x, y})
		if err != nil {
			return
		}
		if e.Event == "" {
			t.Error("an entry without an event was accepted")
		}
		back, err := ledger.ParsePosition(e.At.String())
		if err != nil || back != e.At {
			t.Errorf("%v became %v: %v", e.At, back, err)
		}
		if cmp.Compare(e.Due, 0) < 0 {
			t.Errorf("due at %d", e.Due)
		}
		l := ledger.NewStreams(ledger.Options{})
		at := lane(ledger.Source, false)
		l.Read(at, ledger.Reading{At: 1, End: true})
		l.Read(at, ledger.Reading{At: 2, Entries: []ledger.Entry{e}, End: true, Added: 1,
			Last: e.At})
		l.Judge(1<<60, 1<<60, ledger.NewJournal("orders"))
		l.Changes()
	})
}
