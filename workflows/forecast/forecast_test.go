package forecast

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

const day1 = 24 * time.Hour

func TestAForecastSaysWhatItRestsOn(t *testing.T) {
	t.Parallel()
	base := func(change func(*Input)) Input {
		in := Input{
			At: noon, Start: noon.Add(-20 * day1), Proven: 4, Total: 7,
			Milestones: []Milestone{{"Audited", noon.Add(-10 * day1), true},
				{"Done", noon.Add(40 * day1), false}},
		}
		change(&in)
		return in
	}
	for rule, c := range map[string]struct {
		in    Input
		state State
		says  string
	}{
		"in time":                  {base(func(*Input) {}), OnTrack, "met on 16 Sep 2026"},
		"everything is met":        {base(func(in *Input) { in.Proven = 7 }), Done, "all criteria"},
		"one criterion is no pace": {base(func(in *Input) { in.Proven = 1 }), None, "fewer than 2"},
		"hours are no pace for weeks": {base(func(in *Input) {
			in.Start = noon.Add(-shortest + time.Minute)
		}), None, "less than 24 h ago"},
		"nothing ran": {base(func(in *Input) { in.Start = time.Time{} }), None, "fewer"},
		"a milestone that has passed is late without a pace too": {base(func(in *Input) {
			in.Proven = 0
			in.Milestones[0].Done = false
		}), OffTrack, "Audited was due on 22 Aug 2026"},
		"a milestone that has passed": {base(func(in *Input) { in.Milestones[0].Done = false }),
			OffTrack, "Audited was due"},
		"later than the last milestone": {base(func(in *Input) {
			in.Milestones[1].Due = noon.Add(10 * day1)
		}), OffTrack, "after the last milestone"},
		"close to the last milestone": {base(func(in *Input) {
			in.Milestones[1].Due = noon.Add(18 * day1)
		}), AtRisk, "before the last milestone"},
		"a milestone is near": {base(func(in *Input) {
			in.Milestones = append(in.Milestones, Milestone{"Moved", noon.Add(2 * day1), false})
		}), AtRisk, "Moved is due on 3 Sep 2026"},
		"something was met and is not": {base(func(in *Input) { in.Lapsed = []string{"Policy"} }),
			AtRisk, "no longer met: Policy"},
		"the next step is blocked": {base(func(in *Input) { in.Blocked = "Sentinel" }), AtRisk,
			"blocked: Sentinel"},
		"the finish is in the freeze": {base(func(in *Input) {
			in.FreezeFrom, in.FreezeUntil = noon.Add(14*day1), noon.Add(16*day1)
		}), AtRisk, "in the freeze from"},
		"it is frozen now": {base(func(in *Input) {
			in.FreezeFrom, in.FreezeUntil = noon.Add(-day1), noon.Add(day1)
		}), AtRisk, "changes are frozen until"},
		"a plan without dates": {base(func(in *Input) { in.Milestones = nil }), OnTrack, "met on"},
	} {
		f := Of(c.in)
		if f.State != c.state || !strings.Contains(strings.Join(f.Reasons, "\n"), c.says) {
			t.Errorf("%s: %s, %q", rule, f.State, f.Reasons)
		}
		if (f.Finish == nil) != (noPace(c.in) != "" || f.State == Done) {
			t.Errorf("%s: finish %v", rule, f.Finish)
		}
	}
}

// What is worse never makes a forecast better, and a date is never invented.
func TestAForecastNeverGetsBetterByWhatIsWorse(t *testing.T) {
	t.Parallel()
	order := []State{Done, OnTrack, AtRisk, OffTrack}
	rank := func(f Forecast) int { return slices.Index(order, f.State) }
	r := rand.New(rand.NewPCG(1, 2))
	days := func(n int) time.Duration { return time.Duration(r.IntN(n)) * day1 }
	for range 20_000 {
		in := Input{At: noon, Start: noon.Add(-shortest - days(60)), Total: 7,
			Proven: least + r.IntN(5)}
		for range r.IntN(4) {
			in.Milestones = append(in.Milestones,
				Milestone{"m", noon.Add(days(90) - 20*day1), r.IntN(2) == 0})
		}
		before := Of(in)
		if before.Finish == nil || before.Finish.Before(in.At) || len(before.Reasons) == 0 {
			t.Fatalf("%+v: %+v", in, before)
		}
		worse := in
		worse.Milestones = slices.Clone(in.Milestones)
		switch r.IntN(4) {
		case 0:
			worse.Proven--
		case 1:
			worse.Lapsed = []string{"x"}
		case 2:
			worse.Start = worse.Start.Add(-days(30))
		case 3:
			worse.Milestones = append(worse.Milestones, Milestone{"late", noon.Add(-day1), false})
		}
		after := Of(worse)
		if after.State == None {
			continue // too little is known
		}
		if rank(after) < rank(before) {
			t.Fatalf("%+v: %+v\n%+v: %+v", in, before, worse, after)
		}
	}
}
