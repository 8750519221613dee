package alarm

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

func TestAPastAlertIsToldOnceWithItsBeginAndItsEnd(t *testing.T) {
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
	tell := func(kind notify.Kind, key string, s notify.Severity, after time.Duration) {
		e, err := json.Marshal(notify.Event{Title: string(s), Severity: s})
		if err != nil {
			t.Fatal(err)
		}
		at := noon.Add(after)
		var c store.AlertChange
		for _, channel := range []string{"pager", "chat"} {
			c.Tell = append(c.Tell, store.Notification{
				Channel: channel, EventID: key + at.String(), Key: key, Kind: string(kind), Event: e,
				CreatedAt: at,
			})
		}
		if err := st.SaveAlerts(t.Context(), "m", c); err != nil {
			t.Fatal(err)
		}
		// Sent, so that a later message does not take its place.
		due, err := st.DueNotifications(t.Context(), "pager", at, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range due {
			if err := st.NotificationSent(t.Context(), "pager", n.ID, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	tell(notify.Alert, "m/late", notify.Warning, 0)
	tell(notify.Resolve, "m/late", notify.Warning, time.Minute)
	tell(notify.Alert, "m/late", notify.Warning, 10*time.Minute)
	tell(notify.Alert, "m/late", notify.Critical, 12*time.Minute)
	tell(notify.Resolve, "m/late", notify.Critical, 20*time.Minute)
	tell(notify.Alert, "m/open", notify.Error, 21*time.Minute)
	n := &Notifier{Options: Options{Store: st}}
	got, err := n.Past(t.Context(), "m", 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for i, want := range []PastAlert{
		{"m/late", "critical", "critical", noon.Add(10 * time.Minute), noon.Add(20 * time.Minute)},
		{"m/late", "warning", "warning", noon, noon.Add(time.Minute)},
	} {
		if g := got[i]; g.Severity != want.Severity || !g.Since.Equal(want.Since) ||
			!g.Until.Equal(want.Until) {
			t.Errorf("%d: %+v, want %+v", i, g, want)
		}
	}
}
