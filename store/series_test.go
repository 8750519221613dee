package store

import (
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestBucketsOfASeriesAddUpInAnyOrderAndOldOnesAreForgotten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		at := func(ago time.Duration) int64 { return millis(noon.Add(-ago)) }
		save := func(buckets ...SeriesBucket) {
			t.Helper()
			ok(t, s.SaveSeries(t.Context(), mid, buckets))
		}
		save(SeriesBucket{"depth_source", time.Minute, at(time.Hour), 2, 10, 4, 6},
			SeriesBucket{"depth_target", time.Minute, at(time.Hour), 1, 7, 7, 7})
		save(SeriesBucket{"depth_source", time.Minute, at(0), 1, 1, 1, 1},
			SeriesBucket{"depth_source", 10 * time.Minute, at(time.Hour), 1, 9, 9, 9})
		save(SeriesBucket{"depth_source", time.Minute, at(time.Hour), 3, 9, 1, 5})
		get := func(names ...string) []SeriesBucket {
			t.Helper()
			all, err := s.Series(t.Context(), mid, names, time.Minute, noon.Add(-time.Hour),
				noon.Add(time.Minute))
			ok(t, err)
			return all
		}
		all := get("depth_source")
		if len(all) != 2 || all[0] != (SeriesBucket{"depth_source", time.Minute, at(time.Hour), 5, 19,
			1, 6}) || all[1].Start != at(0) {
			t.Fatalf("%+v", all)
		}
		if all = get("depth_source", "depth_target"); len(all) != 3 {
			t.Fatalf("%+v", all)
		}
		ok(t, s.PruneSeries(t.Context(), mid, time.Minute, noon))
		if all = get("depth_source", "depth_target"); len(all) != 1 || all[0].Start != at(0) {
			t.Fatalf("%+v", all)
		}
		if err := s.SaveSeries(t.Context(), mid, []SeriesBucket{
			{"depth_source", time.Minute, at(0), 1, 1, 1, 1},
			{"depth_source", time.Minute, at(0) + 1, 1, 1, 1, 1},
		}); err == nil {
			t.Fatal("a bucket that begins between two steps was saved")
		}
		if all = get("depth_source"); all[0].Count != 1 {
			t.Fatalf("half of what could not be saved was: %+v", all)
		}
	})
}

func TestAnAlertThatIsOverStaysOnTheTimeAxis(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		open := func(after time.Duration, severity string) {
			t.Helper()
			ok(t, s.SaveAlerts(t.Context(), mid, AlertChange{Save: []OpenAlert{{Key: mid + "/outage",
				Severity: severity, Event: []byte(`{}`), OpenedAt: noon.Add(after)}}}))
		}
		get := func(since, until time.Time) []PastAlert {
			t.Helper()
			all, err := s.AlertsBetween(t.Context(), mid, since, until, 10)
			ok(t, err)
			return all
		}
		open(0, "warning")
		open(0, "critical")
		all := get(noon, noon.Add(time.Hour))
		if len(all) != 1 || all[0].Severity != "critical" || !all[0].ClosedAt.IsZero() {
			t.Fatalf("%+v", all)
		}
		ok(t, s.SaveAlerts(t.Context(), mid, AlertChange{Close: []string{mid + "/outage"},
			At: noon.Add(2 * time.Minute)}))
		open(time.Hour, "warning")
		all = get(noon.Add(time.Minute), noon.Add(2*time.Hour))
		if len(all) != 2 || !all[0].ClosedAt.Equal(noon.Add(2*time.Minute)) ||
			!all[1].ClosedAt.IsZero() || !all[1].OpenedAt.Equal(noon.Add(time.Hour)) {
			t.Fatalf("%+v", all)
		}
		if all = get(noon.Add(3*time.Minute), noon.Add(30*time.Minute)); len(all) != 0 {
			t.Fatalf("an alert that was over by then: %+v", all)
		}
	})
}

func TestRunsOfATimeAreThoseThatWereCarriedOutInIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		for _, id := range []string{"first", "second"} {
			ok(t, s.CreateRun(t.Context(), run(id, migration.StepAudit, "ada")))
			ok(t, s.MoveRun(t.Context(), id, []migration.RunState{migration.RunQueued},
				migration.RunRunning, RunChange{}, noon))
			ok(t, s.MoveRun(t.Context(), id, []migration.RunState{migration.RunRunning},
				migration.RunSucceeded, RunChange{}, noon.Add(time.Minute)))
		}
		ok(t, s.CreateRun(t.Context(), run("queued", migration.StepAudit, "ada")))
		for name, c := range map[string]struct {
			since, until time.Time
			want         int
		}{
			"both were under way":   {noon, noon.Add(time.Hour), 2},
			"both ended before":     {noon.Add(2 * time.Minute), noon.Add(time.Hour), 0},
			"both began afterwards": {noon.Add(-time.Hour), noon, 0},
		} {
			all, err := s.RunsBetween(t.Context(), mid, c.since, c.until, 10)
			ok(t, err)
			if len(all) != c.want || c.want > 0 && (all[0].StartedAt == nil ||
				all[0].FinishedAt == nil || all[0].Step != migration.StepAudit) {
				t.Errorf("%s: %+v", name, all)
			}
		}
	})
}
