package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

// A ledger that is stopped and goes on from what was saved, at any time in any world, says what
// one says that never was.
func TestAnyLedgerThatIsSavedAndRestoredTellsTheSame(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(evils))
	for seed := range worlds(300) {
		s := openTruth(t, seed)
		s.l, s.db = ledger.NewStreams(proofOptions), newRecorder()
		s.beside, s.besideDB = ledger.NewStreams(proofOptions), newRecorder()
		s.pages, s.restless = true, true
		s.round(0)
		s.round(61_000)
		pick := rand.New(rand.NewPCG(seed, 8))
		s.fault = names[pick.IntN(len(names))]
		s.live(30, evils[s.fault])
		for what, of := range map[string]func(*recorder) []string{
			"exceptions": exceptionsOf, "cursors": cursorsOf, "windows": windowsOf, "lives": livesOf,
		} {
			got, want := of(s.db), of(s.besideDB)
			if !slices.Equal(got, want) {
				t.Fatalf("world %d, %s, %s:\n got %s\nwant %s", seed, s.fault, what,
					without(got, want), without(want, got))
			}
		}
	}
}

// without are the lines of one that the other does not have.
func without(a, b []string) (out []string) {
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "\n"+line)
		}
	}
	return out
}

func exceptionsOf(r *recorder) (out []string) {
	for _, e := range r.exceptions {
		out = append(out, fmt.Sprintf("%+v", e))
	}
	slices.Sort(out)
	return out
}

func cursorsOf(r *recorder) (out []string) {
	for _, c := range r.cursors {
		c.DroppedAt = min(c.DroppedAt, 1) // a drop that was not saved is said again
		out = append(out, fmt.Sprintf("%+v", c))
	}
	slices.Sort(out)
	return out
}

func windowsOf(r *recorder) (out []string) {
	for _, w := range r.windows {
		out = append(out, fmt.Sprintf("%+v", w))
	}
	slices.Sort(out)
	return out
}

func livesOf(r *recorder) (out []string) {
	for _, l := range r.lives {
		out = append(out, l.Queue+" "+l.Job)
	}
	slices.Sort(out)
	return out
}
