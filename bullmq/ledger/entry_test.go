package ledger_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func TestAPositionIsReadOrRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ledger.Position{
		"0-0": {}, "1795500000000-12": {MS: 1795500000000, Seq: 12}, "1-0": {MS: 1},
		"0-1": {Seq: 1},
	} {
		got, err := ledger.ParsePosition(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "1-", "-1", "x-1", "1-x", "-1-1", "1--1", "1-1-1",
		"9223372036854775808-0", "0-9223372036854775808"} {
		got, err := ledger.ParsePosition(text)
		if err == nil || got != (ledger.Position{}) || !strings.Contains(err.Error(), "stream entry") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestPositionsAreOrderedByTimeAndThenByNumber(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p, q ledger.Position
		want bool
	}{
		{ledger.Position{MS: 1, Seq: 9}, ledger.Position{MS: 2, Seq: 1}, true},
		{ledger.Position{MS: 2, Seq: 1}, ledger.Position{MS: 1, Seq: 9}, false},
		{ledger.Position{MS: 1, Seq: 1}, ledger.Position{MS: 1, Seq: 2}, true},
		{ledger.Position{MS: 1, Seq: 2}, ledger.Position{MS: 1, Seq: 1}, false},
		{ledger.Position{MS: 1, Seq: 1}, ledger.Position{MS: 1, Seq: 1}, false},
	} {
		if got := tc.p.Before(tc.q); got != tc.want {
			t.Errorf("%s before %s: %v", tc.p, tc.q, got)
		}
	}
}

func TestALaneIsNamed(t *testing.T) {
	t.Parallel()
	for at, want := range map[ledger.Lane]string{
		{Side: ledger.Source, Queue: "bull:orders"}:               "source bull:orders",
		{Side: ledger.Target, Queue: "bull:orders", Shadow: true}: "target bull:orders (shadow)",
	} {
		if at.String() != want {
			t.Errorf("%s, want %s", at, want)
		}
	}
}

func TestAnEntryIsReadOrRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		fields string // name=value, by commas
		want   ledger.Entry
		err    string
	}{
		{"an event and a job", "event=added,jobId=42", ledger.Entry{Event: "added", Job: "42"}, ""},
		{"of no job", "event=drained", ledger.Entry{Event: "drained"}, ""},
		{"fields nobody asked for", "prev=wait,event=active,jobId=4,x=y",
			ledger.Entry{Event: "active", Job: "4"}, ""},
		{"no event", "jobId=42", ledger.Entry{}, "has no event"},
		{"two events", "event=added,event=failed,jobId=42", ledger.Entry{}, "has two events"},
		{"a name without a value", "event=added,jobId", ledger.Entry{}, "has 3 fields"},
		{"when it is due", "event=delayed,delay=1795500000000",
			ledger.Entry{Event: "delayed", Due: 1795500000000}, ""},
		{"due with a fraction", "event=delayed,delay=1795500000000.75",
			ledger.Entry{Event: "delayed", Due: 1795500000000}, ""},
		{"due before there was time", "event=delayed,delay=-5", ledger.Entry{Event: "delayed"}, ""},
		{"due nowhere", "event=delayed,delay=soon", ledger.Entry{Event: "delayed"}, ""},
		{"due after all times", "event=delayed,delay=9007199254740992",
			ledger.Entry{Event: "delayed"}, ""},
		{"an outcome", `event=completed,returnvalue={"outcome":"applied"}`,
			ledger.Entry{Event: "completed", Outcome: "applied"}, ""},
		{"a result", `event=completed,returnvalue={"result":"h"}`,
			ledger.Entry{Event: "completed", Result: "h"}, ""},
		{"neither is text", `event=completed,returnvalue={"result":1}`,
			ledger.Entry{Event: "completed"}, ""},
		{"another object", `event=completed,returnvalue={"ok":true}`,
			ledger.Entry{Event: "completed"}, ""},
		{"no object", `event=completed,returnvalue="outcome"`, ledger.Entry{Event: "completed"}, ""},
		{"cut off", `event=completed,returnvalue={"outcome":"app`, ledger.Entry{Event: "completed"},
			""},
	} {
		var fields []string
		for f := range strings.SplitSeq(tc.fields, ",") {
			name, value, ok := strings.Cut(f, "=")
			if fields = append(fields, name); ok {
				fields = append(fields, value)
			}
		}
		got, err := ledger.ParseEntry("7-1", fields)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %+v, %v", tc.rule, got, err)
			}
			continue
		}
		tc.want.At = ledger.Position{MS: 7, Seq: 1}
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v", tc.rule, got, err)
		}
	}
	if e, err := ledger.ParseEntry("x", []string{"event", "added"}); err == nil {
		t.Errorf("an id that is none: %+v", e)
	}
}

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
