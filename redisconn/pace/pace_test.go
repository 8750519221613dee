package pace

import (
	"testing"
	"time"
)

func TestTheSourcesLatencySlowsTheCopyDownAndLetsItGoOn(t *testing.T) {
	t.Parallel()
	th := throttle{limit: 5 * time.Millisecond}
	see := func(n int, d time.Duration) {
		for range n {
			th.saw(d)
		}
	}
	if see(500, time.Millisecond); th.pause() != 0 {
		t.Errorf("fast: pause %s", th.pause())
	}
	see(pingRound-1, time.Millisecond)
	if th.saw(8 * time.Millisecond); th.pause() != 0 {
		t.Errorf("1 of 100 is slow: pause %s", th.pause())
	}
	see(pingRound-2, time.Millisecond)
	th.saw(8 * time.Millisecond)
	if th.saw(8 * time.Millisecond); th.pause() != firstPause {
		t.Errorf("3 of 100 are slow: pause %s", th.pause())
	}
	if see(pingRound, 8*time.Millisecond); th.pause() != 2*firstPause {
		t.Errorf("slow all the while: pause %s", th.pause())
	}
	if see(50*pingRound, time.Second); th.pause() != maxPause {
		t.Errorf("slow for long: pause %s", th.pause())
	}
	see(pingWindow, time.Millisecond) // the slow ones leave the window
	before := th.pause()
	if see(pingRound, time.Millisecond); th.pause() >= before {
		t.Errorf("fast again: pause %s after %s", th.pause(), before)
	}
	if see(200*pingRound, time.Millisecond); th.pause() != 0 {
		t.Errorf("fast for long: pause %s", th.pause())
	}
}

func TestTheTimeLeftIsWhatTheSlowerSideAllows(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		pace Pace
		seen float64
		want float64
	}{
		"by the pace seen":                         {Pace{}, 1000, 1000},
		"by the target's rate":                     {Pace{TargetRate: 500}, 1000, 2000},
		"by the source's rate, two commands a key": {Pace{SourceRate: 1000}, 5000, 2000},
		"by the pace seen when the rates allow more": {Pace{SourceRate: 100_000,
			TargetRate: 100_000}, 1000, 1000},
		"not known yet":                         {Pace{}, 0, 0},
		"by the rates before anything was seen": {Pace{TargetRate: 10_000}, 0, 100},
	} {
		p := Pacer{pace: c.pace, work: Work{PerTarget: 1, PerSource: 2}}
		if got := p.eta(1_000_000, c.seen); got != c.want {
			t.Errorf("%s: got %v s, want %v", rule, got, c.want)
		}
	}
}
