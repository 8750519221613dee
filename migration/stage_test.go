package migration

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// allowedMoves is the protocol written down a second time: every routing a queue may be at, and every move it may make from there. What is
// not listed is refused.
var allowedMoves = map[string][]string{
	"off":         {"dual write"},
	"dual write":  {"off", "shadow"},
	"shadow":      {"dual write", "live at 1 %", "live at 10 %", "live at 100 %"},
	"live at 1 %": {"shadow", "live at 10 %", "live at 100 %"},
	"live at 10 %": {
		"shadow", "live at 1 %", "live at 100 %",
	},
	"live at 100 %": {"shadow", "live at 1 %", "live at 10 %", "ramp down"},
	"ramp down":     {"live at 1 %", "live at 10 %", "live at 100 %", "complete"},
	"complete":      {"ramp down"},
}

// places are the routings of the table, and so are the goals.
func places() []StageMove {
	return []StageMove{{To: StageOff}, {To: StageDualWrite}, {To: StageShadow}, {StageLive, 1}, {StageLive, 10}, {StageLive, 100}, {To: StageRampDown}, {To: StageComplete}}
}

func at(m StageMove) Routing { return Routing{Stage: m.To, Ramp: m.Ramp, Source: SourceSentinel} }

func TestEveryMoveOfTheProtocolAndNoOtherIsAllowed(t *testing.T) {
	t.Parallel()
	for _, from := range places() {
		allowed := map[string]bool{}
		for _, to := range allowedMoves[from.String()] {
			allowed[to] = true
		}
		for _, to := range places() {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				t.Parallel()
				err := at(from).Check(to)
				if allowed[to.String()] != (err == nil) {
					t.Fatalf("allowed %v, got error %v", allowed[to.String()], err)
				}
			})
		}
	}
}

func TestRefusedMovesSayOfWhatKindTheMistakeIs(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		from Routing
		move StageMove
		want Kind
	}{
		"refuses a word that is no stage": {Routing{Stage: StageOff}, StageMove{To: "onward"}, Invalid},
		"refuses the empty stage":         {Routing{Stage: StageOff}, StageMove{}, Invalid},
		"refuses live without a ramp":     {Routing{Stage: StageShadow}, StageMove{To: StageLive}, Invalid},
		"refuses a negative ramp":         {Routing{Stage: StageShadow}, StageMove{StageLive, -1}, Invalid},
		"refuses a ramp above 100":        {Routing{Stage: StageShadow}, StageMove{StageLive, 101}, Invalid},
		"refuses a ramp outside live":     {Routing{Stage: StageOff}, StageMove{StageDualWrite, 10}, Invalid},
		"refuses to stay":                 {Routing{Stage: StageShadow}, StageMove{To: StageShadow}, Conflict},
		"refuses the same ramp again":     {Routing{Stage: StageLive, Ramp: 10}, StageMove{StageLive, 10}, Conflict},
		"refuses to skip a stage forward": {Routing{Stage: StageOff}, StageMove{To: StageShadow}, Invalid},
		"refuses to skip a stage back":    {Routing{Stage: StageRampDown}, StageMove{To: StageShadow}, Invalid},
		"refuses to jump from the start to the " +
			"end": {Routing{Stage: StageOff}, StageMove{To: StageComplete}, Invalid},
		"refuses rampdown before the target has it " +
			"all": {Routing{Stage: StageLive, Ramp: 99}, StageMove{To: StageRampDown}, Blocked},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			err := c.from.Check(c.move)
			if err == nil || KindOf(err) != c.want {
				t.Fatalf("got %v (%s), want kind %s", err, KindOf(err), c.want)
			}
		})
	}
}

func TestForwardIsTowardsTheTarget(t *testing.T) {
	t.Parallel()
	order := places()
	for i, from := range order {
		for j, to := range order {
			if got, want := at(from).Forward(to), j > i; got != want {
				t.Errorf("%s to %s: forward %v, want %v", from, to, got, want)
			}
		}
	}
}

// Whatever moves were made before: an allowed move never leaves the neighbourhood, and until complete there is a way back to off that
// consists of allowed moves only.
func TestFromAnywhereEveryAllowedMoveIsAdjacentAndThereIsAWayBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Routing{Stage: StageOff, Source: SourceStandalone}
		for range rapid.IntRange(0, 40).Draw(t, "moves") {
			m := StageMove{To: rapid.SampledFrom(Stages()).Draw(t, "to")}
			if m.To == StageLive {
				m.Ramp = rapid.IntRange(-1, 102).Draw(t, "ramp")
			}
			if r.Check(m) != nil {
				continue
			}
			if distance := m.To.Index() - r.Stage.Index(); distance < -1 || distance > 1 {
				t.Fatalf("%s to %s skips a stage", r, m)
			}
			if m.To == StageLive && (m.Ramp < 1 || m.Ramp > 100) {
				t.Fatalf("%s is out of range", m)
			}
			r.Stage, r.Ramp = m.To, m.Ramp
		}
		for r.Stage != StageOff {
			back := StageMove{To: Stages()[r.Stage.Index()-1]}
			if back.To == StageLive {
				back.Ramp = 100
			}
			if err := r.Check(back); err != nil {
				t.Fatalf("no way back from %s: %v", r, err)
			}
			if r.Forward(back) {
				t.Fatalf("%s to %s counts as forward", r, back)
			}
			r.Stage, r.Ramp = back.To, back.Ramp
		}
	})
}

func TestStagesCannotBeChangedByWhoAsksForThem(t *testing.T) {
	t.Parallel()
	Stages()[0] = StageComplete
	if Stages()[0] != StageOff {
		t.Fatal("the order of stages was changed")
	}
}
