package alarm

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

func TestAPastAlertIsKeptWithItsBeginAndItsEndAlsoWithoutAChannel(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "switchyard.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if err := st.CreateMigration(t.Context(),
		migration.Migration{ID: "m", Name: "m", EventDate: noon, CreatedAt: noon}); err != nil {
		t.Fatal(err)
	}
	save := func(c store.AlertChange) {
		t.Helper()
		if err := st.SaveAlerts(t.Context(), "m", c); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(key, severity string, after time.Duration) {
		save(store.AlertChange{Save: []store.OpenAlert{{Key: key, Severity: severity,
			Event: []byte(`{"title":"late","run":"r1"}`), OpenedAt: noon.Add(after)}}})
	}
	end := func(key string, after time.Duration) {
		save(store.AlertChange{Close: []string{key}, At: noon.Add(after)})
	}
	begin("m/late", "warning", 0)
	end("m/late", time.Minute)
	begin("m/late", "warning", 10*time.Minute)
	begin("m/late", "critical", 10*time.Minute) // it got worse
	end("m/late", 20*time.Minute)
	begin("m/open", "error", 21*time.Minute)
	n := &Notifier{Options: Options{Store: st}}
	got, err := n.Past(t.Context(), "m", 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for i, want := range []struct {
		severity    string
		began, over time.Duration
	}{{"critical", 10 * time.Minute, 20 * time.Minute}, {"warning", 0, time.Minute}} {
		if g := got[i]; g.Key != "m/late" || g.Severity != want.severity || g.Title != "late" ||
			!g.Began.Equal(noon.Add(want.began)) || !g.Ended.Equal(noon.Add(want.over)) {
			t.Errorf("%d: %+v, want %+v", i, g, want)
		}
	}
}
