package workflows

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestProbeTellsWhenTheAppTookJobsAgain(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(sentMS, answeredMS int, ok bool) probed {
		return probed{"", start.Add(time.Duration(sentMS) * time.Millisecond), start.Add(time.Duration(answeredMS) * time.Millisecond), ok}
	}
	for _, tc := range []struct {
		rule string
		seen []probed
		want int64
	}{
		{"never interrupted", []probed{at(-50, -40, true), at(50, 60, true), at(160, 170, true)}, 0},
		{"refused, then accepted", []probed{at(50, 60, true), at(160, 170, false), at(270, 280, false), at(900, 950, true), at(1000, 1010, true)}, 950},
		{"a refusal before the start does not count", []probed{at(-50, -40, false), at(50, 60, true)}, 0},
		{"one that was left waiting counts without a refusal", []probed{at(50, 60, true), at(160, 4200, true)}, 4200},
		{"refused to the end", []probed{at(50, 60, true), at(160, 170, false)}, migration.FailoverLimitMS + 1},
		{"no answer at all", nil, migration.FailoverLimitMS + 1},
		{"interrupted twice counts to the second return", []probed{at(10, 20, false), at(30, 40, true), at(50, 60, false), at(70, 80, true)}, 80},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			p := &probe{seen: tc.seen}
			if got := p.backAfter(start); got != tc.want {
				t.Errorf("%d ms, want %d", got, tc.want)
			}
		})
	}
}
