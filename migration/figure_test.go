package migration

import (
	"encoding/json"
	"testing"
)

func TestOnlyAMeasuredFigureCountsAsMeasured(t *testing.T) {
	t.Parallel()
	unit := func(n int64) string { return itoa(int(n)) + " ms" }
	for _, tc := range []struct {
		rule           string
		f              Figure
		json, text     string
		within, beyond bool // of 30
	}{
		{"not observed is neither", Figure{}, `null`, "not observed", false, false},
		{"measured below", Measured(29), `29`, "29 ms", true, false},
		{"measured at the limit", Measured(30), `30`, "30 ms", true, false},
		{"measured above", Measured(31), `31`, "31 ms", false, true},
		{"zero is a measurement", Measured(0), `0`, "0 ms", true, false},
		{"at least less is not known", AtLeast(29), `{"at_least":29}`, "at least 29 ms",
			false, false},
		{"at least the limit is beyond", AtLeast(30), `{"at_least":30}`, "at least 30 ms",
			false, true},
		{"a projection is never within", Projected(1, "26 min"),
			`{"projected":1,"base":"26 min"}`, "projected 1 ms (from 26 min)", false, false},
		{"nor beyond", Projected(99, "26 min"), `{"projected":99,"base":"26 min"}`,
			"projected 99 ms (from 26 min)", false, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(tc.f)
			if err != nil || string(raw) != tc.json {
				t.Errorf("%s, %v", raw, err)
			}
			var back Figure
			if err := json.Unmarshal(raw, &back); err != nil || back != tc.f {
				t.Errorf("%s comes back as %+v, %v", raw, back, err)
			}
			if got := tc.f.Text(unit); got != tc.text {
				t.Errorf("%q", got)
			}
			if tc.f.Within(30) != tc.within || tc.f.Beyond(30) != tc.beyond {
				t.Errorf("within %v, beyond %v", tc.f.Within(30), tc.f.Beyond(30))
			}
			if _, is := tc.f.Value(); is != (tc.json[0] >= '0' && tc.json[0] <= '9') {
				t.Errorf("a measurement: %v", is)
			}
		})
	}
	for _, bad := range []string{`"5"`, `{}`, `{"at_least":1,"base":"x"}`, `{"projected":1}`,
		`{"at_least":1,"projected":2}`, `{"measured":1}`, `1.5`, `[]`} {
		var f Figure
		if err := json.Unmarshal([]byte(bad), &f); err == nil {
			t.Errorf("%s is read as %+v", bad, f)
		}
	}
}

func TestTheWorstOfFiguresIsKnownOnlyWhereEachIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		of   []Figure
		want Figure
	}{
		{"of none", nil, Figure{}},
		{"of one", []Figure{Measured(3)}, Measured(3)},
		{"the greatest that was measured", []Figure{Measured(3), Measured(5), Measured(4)}, Measured(5)},
		{"one that did not end", []Figure{Measured(3), AtLeast(2)}, AtLeast(3)},
		{"one that did not end comes first", []Figure{AtLeast(7), Measured(3)}, AtLeast(7)},
		{"one that was not observed", []Figure{Measured(3), {}}, Figure{}},
		{"one that was not observed comes first", []Figure{{}, AtLeast(3)}, Figure{}},
		{"a projection is none", []Figure{Measured(3), Projected(9, "1 min")}, Figure{}},
	} {
		if got := Worst(tc.of...); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.rule, got, tc.want)
		}
	}
}
