package keycopy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

func words(s string) (w [][]byte) {
	for _, f := range strings.Fields(s) {
		w = append(w, []byte(f))
	}
	return w
}

func TestWhatMakesTwoValuesTheSame(t *testing.T) {
	t.Parallel()
	var long strings.Builder // as many pairs as are searched through
	for i := range fewPairs {
		fmt.Fprintf(&long, "n%02d 1 ", i)
	}
	many := long.String()
	for _, tc := range []struct {
		rule, kind, a, b string
		same             bool
	}{
		{"equal strings", "string", "v", "v", true},
		{"other strings", "string", "v", "w", false},
		{"a list in order", "list", "a b", "a b", true},
		{"a list in another order", "list", "a b", "b a", false},
		{"a longer list", "list", "a b", "a b c", false},
		{"a set in another order", "set", "a b c", "c a b", true},
		{"another member", "set", "a b c", "a d c", false},
		{"another last member", "set", "a b c", "a b d", false},
		{"fields in another order", "hash", "f 1 g 2", "g 2 f 1", true},
		{"another field", "hash", "f 1 g 2", "f 1 h 2", false},
		{"another value", "hash", "f 1 g 2", "f 1 g 3", false},
		{"another first value", "hash", "f 1 g 2", "f 3 g 2", false},
		{"exchanged values", "hash", "f 1 g 2", "f 2 g 1", false},
		{"a value that is a field's name", "hash", "f g g f", "g f f g", true},
		{"many fields, the last value", "hash", many + "b 1 c 2", many + "b 1 c 3", false},
		{"many fields, the least one's value", "hash", many + "b 1", many + "b 2", false},
		{"many fields, the least one", "hash", many + "b 1", many + "c 1", false},
		{"many fields, the greatest one's value", "hash", many + "z 1", many + "z 2", false},
		{"many fields, the last field", "hash", many + "b 1 c 2", many + "b 1 d 2", false},
		{"many fields in another order", "hash", "b 1 c 2 " + many, many + "c 2 b 1", true},
		{"the same scores", "zset", "a 1 b 2", "a 1 b 2", true},
		{"scores in another form", "zset", "a 1 b 1e1 c inf", "a 1.0 b 10 c +Inf", true},
		{"the first score", "zset", "a 1 b 2", "a 2 b 2", false},
		{"the last score", "zset", "a 1 b 2", "a 1 b 3", false},
		{"the first member", "zset", "a 1 b 2", "c 1 b 2", false},
		{"the last member", "zset", "a 1 b 2", "a 1 c 2", false},
		{"members that are equal numbers", "zset", "1 1", "1.0 1", false},
		{"a score that is none", "zset", "a x", "a 0", false},
		{"a score that is none there", "zset", "a 0", "a x", false},
		{"two scores that are none", "zset", "a x", "a y", false},
	} {
		if got := sameParts(tc.kind, words(tc.a), words(tc.b)); got != tc.same {
			t.Errorf("%s: %v", tc.rule, got)
		}
		if got := sameParts(tc.kind, words(tc.b), words(tc.a)); got != tc.same {
			t.Errorf("%s, the other way round: %v", tc.rule, got)
		}
	}
}

func TestWhatMakesTwoStreamsSettingsTheSame(t *testing.T) {
	t.Parallel()
	made := func(change func(s *streamInfo)) *streamInfo {
		s := &streamInfo{
			counters: map[string]string{"last-generated-id": "3-1", "entries-added": "3"},
			groups: []streamGroup{
				{name: "g", last: "2-1", read: "2", pending: 2, consumers: []string{"c", "d"}},
				{name: "h", last: "1-1", read: "1", pending: 1, consumers: []string{"c"}},
			},
		}
		change(s)
		return s
	}
	for rule, tc := range map[string]struct {
		change func(s *streamInfo)
		same   bool
	}{
		"nothing":              {func(*streamInfo) {}, true},
		"the consumers' order": {func(s *streamInfo) { slices.Reverse(s.groups[0].consumers) }, true},
		"a server without the counter": {func(s *streamInfo) {
			delete(s.counters, "entries-added")
		}, true},
		"a server that does not tell what was read": {func(s *streamInfo) {
			s.groups[0].read = ""
		}, true},
		"the last id":       {func(s *streamInfo) { s.counters["last-generated-id"] = "4-1" }, false},
		"entries added":     {func(s *streamInfo) { s.counters["entries-added"] = "4" }, false},
		"a group less":      {func(s *streamInfo) { s.groups = s.groups[:1] }, false},
		"the groups' order": {func(s *streamInfo) { slices.Reverse(s.groups) }, false},
		"a name":            {func(s *streamInfo) { s.groups[1].name = "i" }, false},
		"a place":           {func(s *streamInfo) { s.groups[1].last = "2-1" }, false},
		"what was read":     {func(s *streamInfo) { s.groups[1].read = "2" }, false},
		"what is pending":   {func(s *streamInfo) { s.groups[1].pending = 2 }, false},
		"a consumer":        {func(s *streamInfo) { s.groups[1].consumers = []string{"d"} }, false},
		"a consumer less":   {func(s *streamInfo) { s.groups[0].consumers = []string{"c"} }, false},
	} {
		a, b := made(func(*streamInfo) {}), made(tc.change)
		if a.equal(b) != tc.same || b.equal(a) != tc.same {
			t.Errorf("%s: %v, the other way round %v", rule, a.equal(b), b.equal(a))
		}
	}
}

// The answers of two servers about one key, as they come over the wire.
func TestWhatTwoAnswersAboutAKeyAmountTo(t *testing.T) {
	t.Parallel()
	const (
		v, w    = "$1\r\nv\r\n", "$1\r\nw\r\n"
		none    = "$-1\r\n"
		wrong   = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
		denied  = "-NOPERM no permissions\r\n"
		forever = ":-1\r\n"
		gone    = ":-2\r\n"
		past    = ":1000\r\n"
		soon    = ":4102444800000\r\n"
		later   = ":4102444800001\r\n"
		never   = "of another type"
	)
	for _, tc := range []struct {
		rule                string
		value, at           string // the source's
		otherValue, otherAt string
		want                finding
		err                 string // what it says, if there is one
	}{
		{"the same", v, forever, v, forever, equal, ""},
		{"the same, with an expiry", v, soon, v, soon, equal, ""},
		{"another value", v, forever, w, forever, otherValue, ""},
		{"another expiry", v, soon, v, later, otherExpiry, ""},
		{"an expiry more", v, forever, v, soon, otherExpiry, ""},
		{"an expiry less", v, soon, v, forever, otherExpiry, ""},
		{"both differ: the value is told", v, soon, w, later, otherValue, ""},
		{"missing", v, forever, none, gone, missing, ""},
		{"missing, and expires later", v, soon, none, gone, missing, ""},
		{"missing, and expired meanwhile", v, past, none, gone, goneFromBoth, ""},
		{"more", none, gone, v, forever, extra, ""},
		{"more, of another type than was asked for", none, gone, wrong, forever, extra, ""},
		{"more, and expired meanwhile", none, gone, v, past, goneFromBoth, ""},
		{"on neither", none, gone, none, gone, goneFromBoth, ""},
		{"of another type there", v, forever, wrong, forever, otherValue, ""},
		{"of another type here", wrong, forever, v, forever, "", never},
		{"of another type here, and missing", wrong, forever, none, gone, "", never},
		{"refused here", denied, forever, v, forever, "", "source: Redis this user may not"},
		{"refused there", v, forever, denied, forever, "", "target: Redis this user may not"},
		{"refused there for a key that is not here", none, gone, denied, forever, "",
			"target: Redis this user may not"},
		{"no answer here", "", forever, v, forever, "", "no answer"},
		{"no answer there", v, forever, "", forever, "", "no answer"},
		{"no expiry here", v, denied, v, forever, "", "NOPERM"},
		{"no expiry there", v, forever, v, denied, "", "NOPERM"},
		{"an answer cut off here", "$3\r\nv\r\n", forever, v, forever, "", "unexpected EOF"},
		{"an answer cut off there", v, forever, "$3\r\nv\r\n", forever, "", "unexpected EOF"},
	} {
		c := &comparer{absolute: [2]bool{true, true}}
		p := newPair()
		for side, s := range [][]string{{tc.value, tc.at}, {tc.otherValue, tc.otherAt}} {
			b := p.replies[side]
			b.reset(2)
			for i, text := range s {
				b.command(t.Context(), i, "get", "k")
				_, _ = b.slots[i].Write([]byte(text))
			}
		}
		got, err := c.judge(p, 0, "string", [2]int64{})
		if got != tc.want || (err == nil) != (tc.err == "") ||
			err != nil && !strings.HasPrefix(err.Error(), tc.err) {
			t.Errorf("%s: %q, %v", tc.rule, got, err)
		}
	}
}

func TestTimesLeftMayDifferByTheirReadings(t *testing.T) {
	t.Parallel()
	for _, absolute := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
		c := &comparer{absolute: absolute}
		left := !absolute[0] || !absolute[1]
		for _, tc := range []struct {
			a, b int64
			same bool
		}{
			{-1, -1, true}, {5000, 5000, true}, {5000, 5001, left}, {5000, 6000, left},
			{5000, 6001, false}, {-1, 0, false}, {-1, 500, false}, {0, 1, left},
		} {
			if c.sameExpiry(tc.a, tc.b) != tc.same || c.sameExpiry(tc.b, tc.a) != tc.same {
				t.Errorf("%v: %d and %d", absolute, tc.a, tc.b)
			}
		}
	}
	c, now := &comparer{}, time.Now().UnixMilli()
	for at, want := range map[int64]finding{-1: extra, now + 60_000: extra, now - 1: goneFromBoth,
		0: goneFromBoth} {
		if got := c.absent(at, extra); got != want {
			t.Errorf("a key that expires at %d: %q", at, got)
		}
	}
}

// Differences are put aside to be looked at again, as many as there is a point in; whatever is
// not, is counted at once, and nothing twice.
func TestADifferenceIsPutAsideOrCounted(t *testing.T) {
	t.Parallel()
	c := &comparer{}
	for range maxAgain {
		c.note("k", otherValue)
	}
	if len(c.again) != maxAgain || c.report.Value != 0 || c.report.Keys != maxAgain {
		t.Fatalf("%d aside, %+v", len(c.again), c.report)
	}
	c.note("k", equal)
	c.note("k", missing)
	c.note("k", otherExpiry)
	c.note("k", otherValue)
	c.note("k", goneFromBoth)
	c.noteExtra("k")
	r := c.report
	if len(c.again) != maxAgain || r.Missing != 1 || r.Expiry != 1 || r.Value != 1 || r.Extra != 1 ||
		r.Expired != 1 || r.Keys != maxAgain+4 {
		t.Errorf("%d aside, %+v", len(c.again), r)
	}
	few := &comparer{}
	few.noteExtra("k")
	if len(few.again) != 1 || few.report.Extra != 0 {
		t.Errorf("%d aside, %+v", len(few.again), few.report)
	}
}

// Types are remembered by the shape of a key, so that most are guessed right.
func TestTheTypeOfAKeyIsGuessedFromKeysLikeIt(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"bull:q:12": "#", "bull:q:": "#", "bull:q:9a": "#",
		"bull:q:wait": "wait", "plain": "plain", "a:b:c/": "c/", "a:b::x": "x", "": "#"} {
		if got := shape(key); got != want {
			t.Errorf("%q: %q", key, got)
		}
	}
	c := &comparer{shapes: map[string]string{"wait": "list"}}
	if a, b := c.guess("bull:q:wait"), c.guess("bull:q:12"); a != "list" || b != "hash" {
		t.Errorf("%q, %q", a, b)
	}
}

// What a comparison read is told while it runs, unless it is made for somebody who counts himself.
func TestWhatWasComparedIsCounted(t *testing.T) {
	t.Parallel()
	for uncounted, want := range maps.All(map[bool]int64{false: 3, true: 0}) {
		c := &comparer{Pacer: pace.New(pace.Pace{}, pace.Work{}), uncounted: uncounted}
		c.compared(3, 3)
		if c.Keys.Load() != want || c.Bytes.Load() != want {
			t.Errorf("%v: %d keys", uncounted, c.Keys.Load())
		}
	}
}
