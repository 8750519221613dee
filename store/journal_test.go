package store

import (
	"slices"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestTheRecordOfOrdersIsSavedOverThatWhichItCameFrom(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		first := JournalState{Body: `{"since":1}`, Epochs: []JournalRow{{"e1", `{"next":1}`}},
			Orders:  []JournalRow{{"o1", `{"id":"o1"}`}, {"o2", `{"id":"o2"}`}},
			Minutes: []JournalMinute{{60_000, `{"orders":1}`}, {120_000, `{"orders":2}`}},
			Known:   [][2]int64{{-7, 60_000}}, KnownJobs: [][2]int64{{9, 60_000}}}
		generation, err := s.SaveJournal(t.Context(), first, 10)
		ok(t, err)
		next := JournalState{Generation: generation, Body: `{"since":1}`, Gone: []string{"o1"},
			Epochs:  []JournalRow{{"e1", `{"next":2}`}, {"e2", `{}`}},
			Minutes: []JournalMinute{{60_000, `{"orders":3}`}}, Known: [][2]int64{{8, 120_000}}}
		generation, err = s.SaveJournal(t.Context(), next, 10)
		ok(t, err)
		if _, err := s.SaveJournal(t.Context(), next, 10); migration.KindOf(err) != migration.Conflict {
			t.Errorf("another replica's save was written over: %v", err)
		}
		got, err := s.LoadJournal(t.Context())
		ok(t, err)
		slices.SortFunc(got.Minutes, func(a, b JournalMinute) int { return int(a.Start - b.Start) })
		if got.Generation != generation || !slices.Equal(got.Epochs, next.Epochs) ||
			!slices.Equal(got.Orders, first.Orders[1:]) || !slices.Equal(got.Minutes,
			[]JournalMinute{{60_000, `{"orders":3}`}, {120_000, `{"orders":2}`}}) ||
			!slices.Equal(got.Known, [][2]int64{{-7, 60_000}, {8, 120_000}}) ||
			!slices.Equal(got.KnownJobs, first.KnownJobs) {
			t.Errorf("%+v", got)
		}
		if err := s.db.Exec("DELETE FROM journal_epochs").Error; err == nil {
			t.Error("a journal was forgotten")
		}
		// only the newest hashes are kept
		_, err = s.SaveJournal(t.Context(), JournalState{Generation: generation, Body: `{}`,
			Known: [][2]int64{{1, 1}, {2, 2}}}, 1)
		ok(t, err)
		if got, err = s.LoadJournal(t.Context()); err != nil || len(got.Known) != 2 {
			t.Errorf("%+v, %v", got.Known, err)
		}
	})
}
