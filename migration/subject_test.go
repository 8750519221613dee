package migration

import (
	"fmt"
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
		AspectSource: {Members: []string{"a", "c"}, At: at(2), Since: at(2)},
		AspectApp:    {Members: []string{"1.0"}, At: at(0), Since: at(0)},
		AspectTarget: {At: at(1), Since: at(0)},
		AspectSetup:  {Members: []string{"queue"}, At: at(2), Since: at(2)},
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
	s := w.Subject([]Aspect{AspectSource, AspectApp, AspectProducers}, time.Time{})
	if len(s) != 2 || !slices.Equal(s[AspectSource], []string{"a", "c"}) ||
		!slices.Equal(s[AspectApp], []string{"1.0"}) {
		t.Errorf("subject %v", s)
	}
}

// Who looks since noon has not looked at a build of one o'clock for as long as it says.
func TestASubjectLeavesOutTheBuildsThatCameWhileSomebodyLooked(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time {
		return noon.Add(time.Duration(minute)*time.Minute + time.Microsecond)
	}
	app := func(builds ...string) Subject { return Subject{AspectApp: builds} }
	for _, tc := range []struct {
		rule  string
		looks []Subject // one a minute
		from  time.Time // a store's: to the millisecond
		want  string
	}{
		{"what was there from the beginning is covered", []Subject{app("1"), app("1")},
			noon.Add(time.Minute), "1"},
		{"seen in the moment when it began", []Subject{app("1")}, noon, "1"},
		{"a deployment in the middle", []Subject{app("1"), app("1", "2"), app("2")}, noon, ""},
		{"a canary in the middle", []Subject{app("1"), app("1", "2")}, noon, "1"},
		{"a restart of the same", []Subject{app("1"), app(), app("1")}, noon, "1"},
		{"a deployment that is taken back", []Subject{app("1"), app("2"), app("1")}, noon, "1"},
		{"one that nobody had seen before", []Subject{app(), app("1")}, noon, ""},
		{"about now", []Subject{app("1"), app("1", "2")}, time.Time{}, "1 2"},
		{"another configuration in the middle", []Subject{app("1"),
			{AspectSetup: {"queue"}}}, noon, "1"},
		{"servers are what steps change", []Subject{app("1"), {AspectSource: {"b"}}}, noon, "1 b"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			w := World{}
			for minute, s := range tc.looks {
				w = w.Look(at(minute), s)
			}
			var got []string
			s := w.Subject([]Aspect{AspectApp, AspectSetup, AspectSource}, tc.from)
			for _, a := range []Aspect{AspectApp, AspectSetup, AspectSource} {
				got = append(got, s[a]...)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("covers %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAWorldOfAVersionWithoutFirstLooksKnowsThemByTheLastChange(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	w := World{AspectApp: {Members: []string{"1"}, At: noon, Since: noon.Add(-time.Hour)}}
	w = w.Look(noon.Add(time.Minute), Subject{AspectApp: {"1", "2"}})
	if s := w.Subject([]Aspect{AspectApp}, noon); !slices.Equal(s[AspectApp], []string{"1"}) {
		t.Errorf("covers %v", s)
	}
}

func TestAnAspectForgetsWhoLeftLongAgoAndNobodyElse(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	w := World{}
	for build := range 2 * remembered {
		w = w.Look(noon.Add(time.Duration(build)*time.Minute),
			Subject{AspectApp: {"stays", fmt.Sprint(build)}})
	}
	first := w[AspectApp].First
	if len(first) != remembered || !first["stays"].Equal(noon) ||
		!first[fmt.Sprint(2*remembered-2)].Equal(noon.Add((2*remembered-2)*time.Minute)) {
		t.Errorf("%d first looks, of the one that stays %s", len(first), first["stays"])
	}
	many := make([]string, 2*remembered)
	for i := range many {
		many[i] = fmt.Sprint("instance ", i)
	}
	w = w.Look(noon.Add(24*time.Hour), Subject{AspectApp: many})
	if first := w[AspectApp].First; len(first) != len(many) {
		t.Errorf("%d first looks of %d that are there", len(first), len(many))
	}
}

func TestEveryAspectHasATitleAndIsInTheEmptySubject(t *testing.T) {
	t.Parallel()
	none := Empty()
	for a, title := range map[Aspect]string{AspectSource: "the source",
		AspectNodes: "the source's servers", AspectTarget: "the target",
		AspectDatabase: "the managed database", AspectApp: "the app",
		AspectProducers: "the queues with a producer", AspectSetup: "the configuration"} {
		if members, known := none[a]; a.Title() != title || !known || members != nil {
			t.Errorf("%s is called %q; %v", a, a.Title(), members)
		}
	}
	if len(none) != len(Aspects) || Aspect("moon").Title() != "moon" {
		t.Errorf("%d aspects; %s", len(none), Aspect("moon").Title())
	}
}
