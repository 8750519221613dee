package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// stay gives what a lane saw of job 7 by entries a second apart, "event outcome=... due=...".
func stayOf(t *testing.T, words ...string) string {
	t.Helper()
	s, on := ledger.NewStreams(ledger.Options{}), lane(ledger.Source, false)
	s.Read(on, ledger.Reading{At: 600_000, End: true})
	r := ledger.Reading{At: 700_000, End: true}
	for i, w := range words {
		e := one(at(601_000+1000*int64(i), 0), "", "7")
		for _, f := range strings.Fields(w) {
			name, value, _ := strings.Cut(f, "=")
			switch name {
			case "outcome":
				e.Outcome = value
			case "result":
				e.Result = value
			case "due":
				e.Due = 1000
			default:
				e.Event = f
			}
		}
		r.Entries, r.Last = append(r.Entries, e), e.At
	}
	r.First, r.Added = r.Last, int64(len(words))
	s.Read(on, r)
	lives, _ := s.Find("7")
	if len(lives) == 0 {
		return "none"
	}
	b, err := json.Marshal(lives[0].Stays[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`"`, "", "{", "", "}", "").Replace(string(b)) +
		fmt.Sprint(" ", lives[0].Partial)
}

func TestAStayIsWhatItsEntriesSay(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"added":         "state:waiting,at:601000,added_at:601000,added:1 false",
		"added,waiting": "state:waiting,at:602000,added_at:601000,added:1 false",
		"added,waiting,active,completed": "state:completed,at:604000,added_at:601000,added:1," +
			"active:1,completed:1,ended:ms:604000,seq:0 false",
		"added,delayed due":         "state:delayed,at:602000,added_at:601000,due:1000,added:1 false",
		"added,delayed due,waiting": "state:waiting,at:603000,added_at:601000,added:1 false",
		"added,active,waiting,active": "state:active,at:604000,added_at:601000,added:1,active:2," +
			"retried:1 false",
		"added,active,stalled": "state:active,at:603000,added_at:601000,added:1,active:1,stalled:1 " +
			"false",
		"added,added":       "state:waiting,at:602000,added_at:601000,added:2 false",
		"added,prioritized": "state:prioritized,at:602000,added_at:601000,added:1 false",
		"added,removed":     "state:removed,at:602000,added_at:601000,added:1 false",
		"waiting-children":  "state:waiting-children,at:601000 true",
		"active":            "state:active,at:601000,active:1 true",
		"removed":           "none",
		"stalled":           "none",
		"progress":          "none",
		"duplicated":        "none",
		"added,progress":    "state:waiting,at:601000,added_at:601000,added:1 false",
		"added,retries-exhausted,failed": "state:failed,at:603000,added_at:601000,added:1,failed:1 " +
			"false",
		"added,completed,removed": "state:completed,at:602000,added_at:601000,added:1,completed:1," +
			"ended:ms:602000,seq:0 false",
		"added,completed result=h outcome=applied": "state:completed,at:602000,added_at:601000," +
			"added:1,completed:1,ended:ms:602000,seq:0,result:h false",
		"added,completed outcome=suppressed": "state:completed,at:602000,added_at:601000,added:1," +
			"ended:ms:602000,seq:0,harmless:1 false",
		"added,completed outcome=compared result=h": "state:completed,at:602000,added_at:601000," +
			"added:1,ended:ms:602000,seq:0,harmless:1,result:h false",
		"added,completed outcome=canary": "state:completed,at:602000,added_at:601000,added:1," +
			"ended:ms:602000,seq:0,harmless:1 false",
		"added,completed outcome=misrouted": "state:completed,at:602000,added_at:601000,added:1," +
			"ended:ms:602000,seq:0,harmless:1,misrouted:1 false",
		"added,completed result=h,added,completed result=i": "state:completed,at:604000," +
			"added_at:601000,added:2,completed:2,ended:ms:604000,seq:0,result:h false",
	} {
		if got := stayOf(t, strings.Split(words, ",")...); got != want {
			t.Errorf("%s:\n got %s\nwant %s", words, got, want)
		}
	}
}

// An order is late by our own clock, from when it was added, or due where it was delayed; where
// nobody saw it added, from when it was first seen. Copies are never late.
func TestAnOrderIsLateFromWhenItWasAddedOrDue(t *testing.T) {
	t.Parallel()
	const deadline = 60_000
	for _, tc := range []struct {
		rule  string
		skew  int64
		on    ledger.Lane
		words []ledger.Entry
		since int64 // when its time begins; 0: it is never late
		says  string
	}{
		{"since it was added", 0, lane(ledger.Source, false), []ledger.Entry{
			one(at(600_000, 0), "added", "7"), one(at(640_000, 0), "active", "7")}, 600_000,
			"active on source"},
		{"by our clock", 30_000, lane(ledger.Target, false), []ledger.Entry{
			one(at(600_000, 0), "added", "7")}, 570_000, "waiting on target"},
		{"since it is due", 0, lane(ledger.Source, false), []ledger.Entry{
			one(at(600_000, 0), "added", "7"),
			{At: at(600_000, 1), Event: "delayed", Job: "7", Due: 630_000}}, 630_000,
			"delayed on source"},
		{"since it was seen", 0, lane(ledger.Source, false), []ledger.Entry{
			one(at(610_000, 0), "active", "7"), one(at(620_000, 0), "waiting", "7")}, 620_000,
			"waiting on source"},
		{"a copy", 0, lane(ledger.Source, true), []ledger.Entry{one(at(600_000, 0), "added", "7")}, 0,
			""},
		{"it ended", 0, lane(ledger.Source, false), []ledger.Entry{one(at(600_000, 0), "added", "7"),
			one(at(601_000, 0), "completed", "7")}, 0, ""},
	} {
		s := ledger.NewStreams(ledger.Options{Deadline: deadline * time.Millisecond,
			Linger: 24 * time.Hour})
		s.Read(tc.on, ledger.Reading{At: 650_000 + tc.skew, ReadAt: 650_000, End: true,
			Entries: tc.words, Last: tc.words[len(tc.words)-1].At})
		rec := &record{jobs: map[[2]string]ledger.Facts{}, since: 1}
		s.Judge(tc.since+deadline, 0, rec)
		if open := s.Open(); tc.since != 0 && len(open) != 0 {
			t.Errorf("%s: late in time: %+v", tc.rule, open)
		}
		s.Judge(max(tc.since+deadline+1, 700_000), 0, rec)
		open := s.Open()
		if tc.since == 0 && len(open) == 0 {
			continue
		}
		if len(open) != 1 || open[0].Verdict != ledger.Late || !strings.HasSuffix(open[0].Detail,
			"the limit is 1m0s: "+tc.says) {
			t.Errorf("%s: %+v", tc.rule, open)
		}
	}
}
