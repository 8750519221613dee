package migration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// crowd is a claim about random members, and the waivers of people for some of them.
type crowd struct {
	*rand.Rand
	now     time.Time
	asked   Coverage
	waivers []Waiver
}

func openCrowd(seed uint64) *crowd {
	w := &crowd{Rand: rand.New(rand.NewPCG(seed, 3)), asked: Coverage{Of: "worker", Found: "polls"},
		now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	w.asked.Least = max(0, w.IntN(6)-3)
	for n := range w.IntN(5) {
		m := Member{Key: fmt.Sprintf("worker:%d", n), Name: fmt.Sprint(n), Verdict: Met}
		if w.IntN(3) == 0 {
			m.Verdict = []Verdict{Unmet, Unknown, Unknown, Stale, "", "fine"}[w.IntN(6)]
		}
		w.asked.Members = append(w.asked.Members, m)
	}
	w.waivers = w.sign()
	return w
}

// sign gives waivers for some of the members, and some that count for nobody.
func (w *crowd) sign() (out []Waiver) {
	for n := range 5 {
		d := Waiver{Member: fmt.Sprintf("worker:%d", n), By: "grace", At: w.now,
			Until: w.now.Add(time.Hour)}
		switch w.IntN(8) {
		case 0:
			d.Until = w.now
		case 1:
			d.At = w.now.Add(2 * time.Minute)
		case 2:
			d.RevokedAt = &w.now
		case 3:
			d.Member = []string{"worker:", "worker:11", "", "1"}[w.IntN(4)]
		case 4:
			continue
		}
		out = append(out, d)
	}
	return out
}

// waived: a person's word counts for that member at the moment.
func (w *crowd) waived(m Member) bool {
	return slices.ContainsFunc(w.waivers, func(d Waiver) bool {
		return d.Member == m.Key && d.RevokedAt == nil && !d.At.After(w.now) && d.Until.After(w.now)
	})
}

// verdict is what the claim amounts to: everybody holds, enough do, and there is somebody.
func (w *crowd) verdict() Verdict {
	met, silent := 0, len(w.asked.Members) == 0
	for _, m := range w.asked.Members {
		switch {
		case m.Verdict == Unmet:
			return Unmet
		case m.Verdict == Met:
			met++
		case !w.waived(m):
			silent = true
		}
	}
	if silent || met < w.asked.Least {
		return Unknown
	}
	return Met
}

func (w *crowd) gate() Gate {
	return Claim{ID: "workers", Measured: "revision 3", Next: "look at them", Asked: w.asked}.Gate()
}

func (w *crowd) change(i int, v Verdict) {
	w.asked.Members = slices.Clone(w.asked.Members)
	w.asked.Members[i].Verdict = v
}

func TestNoClaimHoldsThatItsMembersDoNotBearOut(t *testing.T) {
	t.Parallel()
	crowds, greens := uint64(20_000), uint64(0)
	if testing.Short() {
		crowds = 1000
	}
	for seed := range crowds {
		w := openCrowd(seed)
		say := func(what string) {
			t.Helper()
			got := w.gate().Waive(w.waivers, w.now)
			want := w.verdict()
			if got.Verdict != want || got.OK != (want == Met) || (got.Next == "") != got.OK ||
				w.asked.Waive(w.waivers, w.now).Verdict() != want {
				t.Fatalf("crowd %d, %s: %+v, want %s", seed, what, got, want)
			}
		}
		say("as it is")
		if w.verdict() == Met {
			greens++
			for i, m := range w.asked.Members {
				for _, v := range []Verdict{Unmet, Unknown, Stale, ""} {
					w.change(i, v)
					say(fmt.Sprintf("%s is %q", m.Key, v))
				}
				w.change(i, m.Verdict)
			}
		}
		waivedOnce := w.gate().Waive(w.waivers, w.now)
		w.waivers = w.sign() // some were taken back, and others signed
		again := waivedOnce.Waive(w.waivers, w.now)
		if want := w.verdict(); again.Verdict != want || again.OK != (want == Met) ||
			(again.Next == "") != again.OK {
			t.Fatalf("crowd %d, waived again: %+v, want %s", seed, again, want)
		}
		w.asked.Members = nil
		say("nobody is left")
	}
	if greens*10 < crowds {
		t.Errorf("%d claims of %d hold, too few to say anything", greens, crowds)
	}
}

// A gate that an earlier version stored says nothing of its members: it stays what it was.
func TestAGateOfAnEarlierVersionIsNotJudgedAgain(t *testing.T) {
	t.Parallel()
	for _, ok := range []bool{true, false} {
		old := Gate{ID: "stage", OK: ok, Measured: "off", Next: "move back"}
		if got := old.Waive(nil, time.Now()); got.OK != ok || got.Measured != "off" ||
			got.Next != "move back" {
			t.Errorf("%+v", got)
		}
	}
}

// A waiver changes what a gate says only where it changes who is unknown.
func TestAGateSaysWhatItSaidUnlessAWaiverSpeaksToIt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	all := []Waiver{{Member: "worker:c", By: "grace", At: now, Until: now.Add(time.Hour)}}
	member := func(name string, v Verdict) Member {
		return Member{Key: "worker:" + name, Name: name, Verdict: v}
	}
	for _, tc := range []struct {
		rule       string
		members    []Member
		says, next string
	}{
		{"everybody holds", []Member{member("a", Met)}, "revision 3", ""},
		{"one does not", []Member{member("b", Unmet), member("c", "")}, "revision 3", "wait"},
		{"who is unknown is not waived", []Member{member("a", Met), member("d", "")}, "revision 3",
			"wait"},
		{"one of two is waived", []Member{member("c", ""), member("d", "")},
			"0 of 2 workers; unknown: d; waived: c by grace until 2026-11-01 13:00 UTC", "wait"},
		{"all are waived", []Member{member("a", Met), member("c", "")},
			"1 of 2 workers; waived: c by grace until 2026-11-01 13:00 UTC", ""},
	} {
		g := Claim{Measured: "revision 3", Next: "wait", Asked: Coverage{Of: "worker",
			Members: tc.members}}.Gate().Waive(all, now)
		if g.Measured != tc.says || g.Next != tc.next {
			t.Errorf("%s: %q, next %q", tc.rule, g.Measured, g.Next)
		}
	}
}

func TestTheFailingGatesAreThoseThatDoNotHold(t *testing.T) {
	t.Parallel()
	var ids string
	for _, g := range Failing([]Gate{{ID: "a"}, {ID: "b", OK: true}, {ID: "c"}}) {
		ids += g.ID
	}
	if ids != "ac" || Failing([]Gate{{OK: true}, {OK: true}}) != nil {
		t.Error(ids)
	}
}
