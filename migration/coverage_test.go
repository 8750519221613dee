package migration

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAClaimHoldsForEverybodyItCoversOrIsNotMade(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	yes := Member{Key: "worker:a", Name: "a", Verdict: Met}
	no := Member{Key: "worker:b", Name: "b", Verdict: Unmet, Why: "on revision 3"}
	silent := Member{Key: "worker:c", Name: "c", Verdict: Unknown, Why: "silent for 40 s"}
	zero := Member{Key: "worker:d", Name: "d"}
	stale := Member{Key: "worker:e", Name: "e", Verdict: Stale}
	about := func(key string) Waiver {
		return Waiver{Member: key, By: "grace", Why: "that host was shut down", At: now,
			Until: now.Add(time.Hour)}
	}
	revoked := about("worker:c")
	revoked.RevokedAt = &now
	early := about("worker:c")
	early.At = now.Add(time.Hour)
	for _, tc := range []struct {
		rule    string
		members []Member
		least   int
		waived  []Waiver
		at      time.Time
		want    Verdict
		says    string
	}{
		{rule: "everybody holds", members: []Member{yes}, want: Met, says: "1 of 1 worker"},
		{rule: "nobody was found", want: Unknown, says: "no worker was found (by CLIENT LIST)"},
		{rule: "one does not hold", members: []Member{yes, no, silent}, want: Unmet,
			says: "not: b (on revision 3)"},
		{rule: "one is silent", members: []Member{yes, silent}, want: Unknown,
			says: "1 of 2 workers; unknown: c (silent for 40 s)"},
		{rule: "the zero member is unknown", members: []Member{yes, zero}, want: Unknown,
			says: "unknown: d"},
		{rule: "what has become stale is unknown", members: []Member{yes, stale}, want: Unknown,
			says: "unknown: e"},
		{rule: "fewer than the least hold", members: []Member{yes}, least: 2, want: Unknown,
			says: "at least 2 needed"},
		{rule: "somebody waived the silent one", members: []Member{yes, silent},
			waived: []Waiver{about("worker:c")}, want: Met, says: "waived: c by grace until"},
		{rule: "a waiver is enough where no least is given", members: []Member{silent},
			waived: []Waiver{about("worker:c")}, want: Met},
		{rule: "a waiver counts for no measurement", members: []Member{silent}, least: 1,
			waived: []Waiver{about("worker:c")}, want: Unknown},
		{rule: "a waiver does not speak against what is known", members: []Member{yes, no},
			waived: []Waiver{about("worker:b")}, want: Unmet},
		{rule: "a waiver is about one member", members: []Member{yes, silent},
			waived: []Waiver{about("worker:cc"), about("worker")}, want: Unknown},
		{rule: "a waiver expires", members: []Member{yes, silent}, at: now.Add(time.Hour),
			waived: []Waiver{about("worker:c")}, want: Unknown},
		{rule: "a waiver is taken back", members: []Member{yes, silent},
			waived: []Waiver{revoked}, want: Unknown},
		{rule: "a waiver of the future does not count", members: []Member{yes, silent},
			waived: []Waiver{early}, want: Unknown},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			at := tc.at
			if at.IsZero() {
				at = now
			}
			g := Claim{ID: "workers", Title: "Workers", Limit: "all", Next: "look at them",
				Asked: Coverage{Of: "worker", Found: "by CLIENT LIST", Members: tc.members,
					Least: tc.least}}.Gate().Waive(tc.waived, at)
			if g.Verdict != tc.want || g.OK != (tc.want == Met) ||
				!strings.Contains(g.Measured, tc.says) || (g.Next == "") != g.OK {
				t.Errorf("%s, %v: %q, next %q", g.Verdict, g.OK, g.Measured, g.Next)
			}
		})
	}
}

func TestAClaimAboutOneThingHoldsForItOrNobodyKnows(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule  string
		holds bool
		err   error
		want  Verdict
		says  string
	}{
		{rule: "it holds", holds: true, want: Met, says: "3 keys"},
		{rule: "it does not", want: Unmet, says: "3 keys"},
		{rule: "nobody could look", err: errors.New("refused"), want: Unknown,
			says: "not known: refused"},
		{rule: "an error is no answer", holds: true, err: errors.New("refused"), want: Unknown,
			says: "not known: refused"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			g := Claim{ID: "empty", Measured: "3 keys", Next: "look at them"}.
				About("server", "10.0.0.1", tc.holds, tc.err)
			if g.Verdict != tc.want || g.OK != (tc.want == Met) || g.Measured != tc.says ||
				(g.Next == "") != g.OK || g.Asked.Members[0].Key != "server:10.0.0.1" {
				t.Errorf("%s, %v: %q, next %q, %+v", g.Verdict, g.OK, g.Measured, g.Next, g.Asked)
			}
		})
	}
}

func TestAWaiverSaysOfWhomWhyAndUntilWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	good := Waiver{Member: "worker:a/b", By: "ada", Why: "that host was shut down",
		Until: now.Add(time.Hour)}
	if err := good.Check(now); err != nil {
		t.Error(err)
	}
	for rule, change := range map[string]func(*Waiver){
		"of nobody":        func(d *Waiver) { d.Member = "" },
		"of no whole key":  func(d *Waiver) { d.Member = "web-2" },
		"without a reason": func(d *Waiver) { d.Why = " ok       " },
		"already over":     func(d *Waiver) { d.Until = now },
		"for ever":         func(d *Waiver) { d.Until = now.Add(MaxWaiver + time.Hour) },
	} {
		d := good
		change(&d)
		if err := d.Check(now); KindOf(err) != Invalid {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func TestALongListIsCutAndCounted(t *testing.T) {
	t.Parallel()
	c := Coverage{Of: "queue", Found: "census"}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		c.Members = append(c.Members, Member{Key: "queue:" + n, Name: n})
	}
	if got := c.String(); got != "0 of 5 queues; unknown: a, b, c and 2 more" {
		t.Error(got)
	}
	c.Members = c.Members[:3]
	if got := c.String(); got != "0 of 3 queues; unknown: a, b, c" {
		t.Error(got)
	}
}

// They are those of whom somebody has to say something: asked by name, answered or not.
func TestTheUnknownAreThoseOfWhomNobodyKnowsOrDecidedAnything(t *testing.T) {
	t.Parallel()
	c := Coverage{Members: []Member{
		{Key: "worker:a", Verdict: Unknown}, {Key: "worker:b", Verdict: Met},
		{Key: "worker:c", Verdict: Unmet}, {Key: "worker:d", Waiver: &Waiver{}},
		{Key: "worker:e"}, {Key: "worker:f", Verdict: Stale},
	}}
	var got string
	for _, m := range c.Unknown() {
		got += m.Key + " "
	}
	if got != "worker:a worker:e worker:f " {
		t.Error(got)
	}
}

func TestWhatIsKnownKeepsNoWaiver(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := Coverage{Members: []Member{{Key: "worker:a", Verdict: Met},
		{Key: "worker:b", Verdict: Unmet}, {Key: "worker:c"}}}
	var all []Waiver
	for _, m := range c.Members {
		all = append(all, Waiver{Member: m.Key, At: now, Until: now.Add(time.Hour)})
	}
	for i, m := range c.Waive(all, now).Members {
		if (m.Waiver != nil) != (m.Key == "worker:c") || c.Members[i].Waiver != nil {
			t.Errorf("%+v, before %+v", m, c.Members[i])
		}
	}
}
