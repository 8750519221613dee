package migration

import "testing"

func TestAnActionThatIsDoneSaysWhatItLeavesToBeDesired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		a    RunAction
		want string
	}{
		{"as its output has it", RunAction{State: ActionDone,
			Output: []byte(`{"short":"1 of 4 snapshots taken"}`)}, "1 of 4 snapshots taken"},
		{"nothing before it is done", RunAction{State: ActionRunning,
			Output: []byte(`{"short":"1 of 4 snapshots taken"}`)}, ""},
		{"nothing without an output", RunAction{State: ActionDone}, ""},
		{"nothing of an output of another form", RunAction{State: ActionDone, Output: []byte(`3`)},
			""},
	} {
		if got := c.a.Short(); got != c.want {
			t.Errorf("%s: %q, want %q", c.rule, got, c.want)
		}
	}
}
