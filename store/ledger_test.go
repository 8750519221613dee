package store

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const minuteMS = int64(time.Minute / time.Millisecond)

// windowsOf makes a row for each minute of lanes, the last of them running.
func windowsOf(minutes int, lanes ...string) (rows []LedgerRow) {
	for i := range minutes {
		for _, lane := range lanes {
			state := "conclusive"
			if i == minutes-1 {
				state = "running"
			}
			start := noon.UnixMilli() + int64(i)*minuteMS
			rows = append(rows, LedgerRow{
				Lane: lane, Start: start, State: state, Body: fmt.Sprintf(`{"from":%d}`, start),
			})
		}
	}
	return rows
}

// Rows were told apart by a text that is the same for every number: of all minutes of a
// lane that one save brought, one was kept.
func TestEveryMinuteOfALaneIsKeptAndTheRunningOnesGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		lanes := []string{"source orders", "target orders"}
		rows := windowsOf(40, lanes...)
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Windows: rows}, 0, 1))
		got, err := s.LedgerWindows(t.Context(), mid, noon.UnixMilli())
		ok(t, err)
		if len(got) != len(rows) {
			t.Fatalf("%d of %d minutes are kept", len(got), len(rows))
		}
		for i, r := range got { // the newest first, then by lane
			want := rows[len(rows)-2*(i/2)-2+i%2]
			if r.Start != want.Start || r.Lane != want.Lane || r.State != want.State {
				t.Errorf("row %d is %+v, want %+v", i, r, want)
			}
		}
		loaded, err := s.LoadLedger(t.Context(), mid)
		ok(t, err)
		if len(loaded.Windows) != 2 || loaded.Windows[0].Start != rows[len(rows)-1].Start ||
			loaded.Windows[0].Body != rows[len(rows)-1].Body {
			t.Errorf("a restart goes on with %+v", loaded.Windows)
		}
		closed := slices.Clone(loaded.Windows)
		for i := range closed {
			closed[i].State = "conclusive"
		}
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Windows: closed}, 0, 1))
		if loaded, err = s.LoadLedger(t.Context(), mid); err != nil || len(loaded.Windows) != 0 {
			t.Errorf("closed minutes are loaded: %+v %v", loaded.Windows, err)
		}
	})
}

func TestOfMinutesThatAreForgottenThoseThatProveNothingStay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		rows := windowsOf(10, "source orders")
		rows[2].State = "inconclusive"
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Windows: rows},
			noon.UnixMilli()+5*minuteMS, 1))
		got, err := s.LedgerWindows(t.Context(), mid, 0)
		ok(t, err)
		var kept []int64
		for _, r := range got {
			kept = append(kept, (r.Start-noon.UnixMilli())/minuteMS)
		}
		if want := []int64{9, 8, 7, 6, 5, 2}; !slices.Equal(kept, want) {
			t.Errorf("kept are the minutes %v, want %v", kept, want)
		}
	})
}

// An hour of four queues is 960 rows on both sides with their shadows, of five 1,200.
func TestAnHourOfManyQueuesIsGivenWhole(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		var lanes []string
		for i := range 20 {
			lanes = append(lanes, fmt.Sprintf("lane %02d", i))
		}
		rows := windowsOf(60, lanes...)
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Windows: rows}, 0, 1))
		got, err := s.LedgerWindows(t.Context(), mid, noon.UnixMilli())
		ok(t, err)
		if len(got) != len(rows) {
			t.Errorf("%d of %d minutes are given", len(got), len(rows))
		}
	})
}

// The key of an exception is whole: queue, job and verdict.
func TestALedgerGoesOnFromExactlyWhatWasSaved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		life := func(queue, job, body string) LedgerRow {
			return LedgerRow{Queue: queue, Job: job, Body: body}
		}
		wrong := func(queue, job, verdict string, settled int64) LedgerRow {
			return LedgerRow{Queue: queue, Job: job, Verdict: verdict, At: noon.UnixMilli(),
				SettledAt: settled, Body: fmt.Sprintf(`{"settled":%d}`, settled)}
		}
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{
			Lives: []LedgerRow{life("orders", "42", `1`), life("refunds", "42", `2`),
				life("orders", "\xff", `3`), life("orders", "\xfe", `4`)},
			Exceptions: []LedgerRow{wrong("orders", "42", "loss", 0),
				wrong("refunds", "42", "loss", 0), wrong("orders", "42", "late", 0)},
			Done: []uint64{1, 2, 3},
		}, 0, 100))
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{
			Ended:      []LedgerRow{life("refunds", "42", "")},
			Exceptions: []LedgerRow{wrong("refunds", "42", "loss", 7), wrong("orders", "42", "late", 8)},
			Done:       []uint64{4},
		}, 0, 100))
		got, err := s.LoadLedger(t.Context(), mid)
		ok(t, err)
		var lives, open []string
		for _, r := range got.Lives {
			lives = append(lives, r.Queue+" "+r.Job+" "+r.Body)
		}
		for _, r := range got.Exceptions {
			open = append(open, r.Queue+" "+r.Job+" "+r.Verdict)
		}
		slices.Sort(lives)
		slices.Sort(open)
		if want := []string{"orders 42 1", "orders � 4"}; !slices.Equal(lives, want) {
			t.Errorf("open are %q, want %q", lives, want)
		}
		// settled or not, while the job's life is open
		if want := []string{"orders 42 late", "orders 42 loss"}; !slices.Equal(open, want) {
			t.Errorf("gone on from are %q, want %q", open, want)
		}
		if !slices.Equal(got.Done, []uint64{1, 2, 3, 4}) {
			t.Errorf("done are %v", got.Done)
		}
	})
}

// How far a lane was read is kept when its server is let go: a lane that was read again from
// its beginning reported each job as run twice.
func TestALaneThatIsDroppedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		cursor := func() LedgerRow {
			t.Helper()
			rows, err := s.LedgerCursors(t.Context(), mid)
			ok(t, err)
			if len(rows) != 1 {
				t.Fatalf("%+v", rows)
			}
			return rows[0]
		}
		lane := LedgerRow{Lane: "source orders", Body: `{"entries":0}`}
		ok(t, s.RegisterLedgerCursor(t.Context(), mid, lane))
		read := lane
		read.Body = `{"entries":7}`
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Cursors: []LedgerRow{read}}, 0, 1))
		ok(t, s.DropLedgerCursor(t.Context(), mid, lane.Lane, noon.UnixMilli()))
		if r := cursor(); r.DroppedAt != noon.UnixMilli() || r.Body != read.Body {
			t.Errorf("dropped: %+v", r)
		}
		loaded, err := s.LoadLedger(t.Context(), mid)
		ok(t, err)
		if len(loaded.Cursors) != 1 || loaded.Cursors[0].DroppedAt != noon.UnixMilli() {
			t.Errorf("a restart knows %+v", loaded.Cursors)
		}
		// what is saved late does not bring it back, being followed again does
		ok(t, s.SaveLedger(t.Context(), mid, LedgerState{Cursors: []LedgerRow{read}}, 0, 1))
		if r := cursor(); r.DroppedAt != noon.UnixMilli() {
			t.Errorf("saved after it was dropped: %+v", r)
		}
		ok(t, s.RegisterLedgerCursor(t.Context(), mid, lane))
		if r := cursor(); r.DroppedAt != 0 || r.Body != read.Body {
			t.Errorf("followed again: %+v", r)
		}
	})
}
