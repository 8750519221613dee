package migration

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The world of now is what somebody saw lately; evidence speaks for it while all that is there
// is what the evidence is about.
func TestEvidenceSpeaksForWhatItIsAboutAlone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	run := strings.Repeat("ab", 20)
	both := []Aspect{AspectSource, AspectTarget}
	at := func(ago time.Duration, members ...string) Seen {
		return Seen{Members: members, At: now.Add(-ago), Since: now.Add(-time.Hour)}
	}
	about := Subject{AspectSource: {"a", "b"}, AspectTarget: {"db"}}
	for _, tc := range []struct {
		rule    string
		subject Subject
		world   World
		want    Verdict
		says    string
	}{
		{"everybody is covered", about,
			World{AspectSource: at(0, "a", "b"), AspectTarget: at(0, "db")}, Met, ""},
		{"who left does not matter", about,
			World{AspectSource: at(0, "b"), AspectTarget: at(0)}, Met, ""},
		{"somebody is new", about,
			World{AspectSource: at(0, "a", "c"), AspectTarget: at(0, "db")}, Stale,
			"void since 2026-11-01 11:00:00 UTC: the source has changed, it does not cover c"},
		{"four are new", about,
			World{AspectSource: at(0, "c", "d", "e", "f"), AspectTarget: at(0, "db")}, Stale,
			"does not cover c, d, e"},
		{"a run id is cut", about,
			World{AspectSource: at(0, "c run "+run), AspectTarget: at(0, "db")}, Stale,
			"does not cover c run abababab"},
		{"the last aspect changed", about,
			World{AspectSource: at(0, "a"), AspectTarget: at(0, "db2")}, Stale,
			"the target has changed, it does not cover db2"},
		{"it does not say of which source", Subject{AspectTarget: {"db"}},
			World{AspectSource: at(0), AspectTarget: at(0, "db")}, Stale,
			"it does not say of which state of the source: run it again"},
		{"nobody was there, and it says so", Subject{AspectSource: nil, AspectTarget: nil},
			World{AspectSource: at(0), AspectTarget: at(0)}, Met, ""},
		{"nobody looked at the target", about, World{AspectSource: at(0, "a")}, Unknown,
			"nobody has looked at the target"},
		{"nobody looked at anything", about, nil, Unknown, "nobody has looked at the target"},
		{"what changed is said before what nobody saw", about, World{AspectTarget: at(0, "db2")},
			Stale, "the target has changed, it does not cover db2"},
		{"seen as long ago as may be", about, World{AspectSource: at(WorldAge, "a"),
			AspectTarget: at(WorldAge, "db")}, Met, ""},
		{"seen too long ago", about, World{AspectSource: at(WorldAge+time.Second, "a"),
			AspectTarget: at(0, "db")}, Unknown,
			"the source was last seen 15 min 1 s ago (limit 15 min)"},
		{"seen by a clock a moment ahead", about, World{AspectSource: at(-time.Minute, "a"),
			AspectTarget: at(0, "db")}, Met, ""},
		{"seen in the future", about, World{AspectSource: at(-61*time.Second, "a"),
			AspectTarget: at(0, "db")}, Unknown, "the source was last seen 0 s ago (limit 15 min)"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			got, why := tc.subject.Void(tc.world, both, now)
			if got != tc.want || !strings.HasSuffix(why, tc.says) || (got == Met) != (why == "") {
				t.Errorf("%s: %q", got, why)
			}
		})
	}
	if got, why := (Subject{}).Void(nil, nil, now); got != Met || why != "" {
		t.Errorf("what is about nothing is void: %s: %s", got, why)
	}
}

func TestALookKeepsSinceWhenAndWhatWasNotLookedAt(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 11, 1, 12, minute, 0, 0, time.UTC) }
	w := World(nil).Look(at(0), Subject{AspectSource: {"b", "a", "b"}, AspectApp: {"1.0"},
		AspectTarget: nil})
	w = w.Look(at(1), Subject{AspectSource: {"a", "b"}, AspectTarget: nil})
	before := w
	w = w.Look(at(2), Subject{AspectSource: {"a", "c"}, AspectSetup: {"queue"}})
	want := map[Aspect]Seen{
		AspectSource: {[]string{"a", "c"}, at(2), at(2)},
		AspectApp:    {[]string{"1.0"}, at(0), at(0)},
		AspectTarget: {nil, at(1), at(0)},
		AspectSetup:  {[]string{"queue"}, at(2), at(2)},
	}
	for a, seen := range want {
		if got := w[a]; !slices.Equal(got.Members, seen.Members) || got.At != seen.At ||
			got.Since != seen.Since {
			t.Errorf("%s: %+v, want %+v", a, got, seen)
		}
	}
	if len(w) != len(want) || len(before) != 3 || before[AspectSource].Since != at(0) ||
		before[AspectSource].At != at(1) {
		t.Errorf("%d aspects; before: %+v", len(w), before)
	}
	s := w.Subject([]Aspect{AspectSource, AspectApp, AspectProducers})
	if len(s) != 2 || !slices.Equal(s[AspectSource], []string{"a", "c"}) ||
		!slices.Equal(s[AspectApp], []string{"1.0"}) {
		t.Errorf("subject %v", s)
	}
}

func TestEveryAspectHasATitleAndIsInTheEmptySubject(t *testing.T) {
	t.Parallel()
	none := Empty()
	for a, title := range map[Aspect]string{AspectSource: "the source",
		AspectNodes: "the source's servers", AspectTarget: "the target", AspectApp: "the app",
		AspectProducers: "the queues with a producer", AspectSetup: "the configuration"} {
		if members, known := none[a]; a.Title() != title || !known || members != nil {
			t.Errorf("%s is called %q; %v", a, a.Title(), members)
		}
	}
	if len(none) != len(Aspects) || Aspect("moon").Title() != "moon" {
		t.Errorf("%d aspects; %s", len(none), Aspect("moon").Title())
	}
}
