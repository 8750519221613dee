package store

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func TestAWeekHasOneDigestWhoeverMakesItAndAChannelOwesTheNewestAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		ok(t, s.CreateMigration(ctx, migration.Migration{ID: "m", Name: "M", CreatedAt: noon}))
		message := func(channel, which string) Notification {
			return Notification{Channel: channel, EventID: "m/digest/" + which, Key: "m/digest",
				Kind: "digest", Event: json.RawMessage(`{}`), CreatedAt: noon}
		}
		keep := func(week string, at time.Time) error {
			return s.SaveDigest(ctx, "m", KeptDigest{Week: week, DueAt: at, MadeAt: at,
				Body: json.RawMessage(`{"week":"` + week + `"}`)},
				[]Notification{message("a", week), message("b", week)})
		}
		waiting := func(channel string) []string {
			t.Helper()
			due, err := s.DueNotifications(ctx, channel, noon, 10)
			ok(t, err)
			var out []string
			for _, n := range due {
				out = append(out, n.EventID)
			}
			return out
		}
		if _, found, err := s.LastDigest(ctx, "m"); err != nil || found {
			t.Errorf("%t %v", found, err)
		}
		var all sync.WaitGroup
		won := make(chan bool, 4)
		for range cap(won) {
			all.Go(func() {
				err := keep("2026-W48", noon)
				if err != nil && migration.KindOf(err) != migration.Conflict {
					t.Error(err)
				}
				won <- err == nil
			})
		}
		all.Wait()
		close(won)
		first := 0
		for w := range won {
			if w {
				first++
			}
		}
		had, err := s.HasDigest(ctx, "m", "2026-W48")
		ok(t, err)
		hasNext, err := s.HasDigest(ctx, "m", "2026-W49")
		ok(t, err)
		if first != 1 || !had || hasNext || !slices.Equal(waiting("a"), []string{"m/digest/2026-W48"}) {
			t.Fatalf("%d were first, %t %t, %q waits", first, had, hasNext, waiting("a"))
		}

		due, err := s.DueNotifications(ctx, "b", noon, 10)
		ok(t, err)
		id := due[0].ID
		for _, want := range []bool{true, false} { // whoever comes second has nothing to send
			claimed, err := s.ClaimNotification(ctx, id, "unsure", noon)
			ok(t, err)
			if claimed != want {
				t.Errorf("claimed: %t, want %t", claimed, want)
			}
		}
		if got := waiting("b"); len(got) != 0 {
			t.Errorf("a claimed message is due: %q", got)
		}
		next := noon
		ok(t, s.NotificationFailed(ctx, "b", id, "down", &next, noon))
		if got := waiting("b"); len(got) != 1 {
			t.Errorf("a message that was not taken is not due: %q", got)
		}
		claimed, err := s.ClaimNotification(ctx, id, "unsure", noon)
		ok(t, err)
		ok(t, s.NotificationSent(ctx, "b", id, noon))
		sent, err := s.Notifications(ctx, "m", "m/digest", 10)
		ok(t, err)
		i := slices.IndexFunc(sent, func(n Notification) bool { return n.Channel == "b" })
		if !claimed || sent[i].SentAt == nil || sent[i].GivenUpAt != nil || sent[i].Error != "" {
			t.Errorf("%t %+v", claimed, sent[i])
		}

		ok(t, keep("2026-W49", noon.Add(7*24*time.Hour)))
		ok(t, s.TellDigest(ctx, []Notification{message("b", "now"), message("b", "now")}))
		due, err = s.DueNotifications(ctx, "a", noon, 10)
		ok(t, err)
		if len(due) != 1 || due[0].EventID != "m/digest/2026-W49" {
			t.Errorf("%+v", due)
		}
		if got := waiting("b"); !slices.Equal(got, []string{"m/digest/now"}) {
			t.Errorf("%q", got)
		}
		last, found, err := s.LastDigest(ctx, "m")
		ok(t, err)
		if !found || last.Week != "2026-W49" || !last.DueAt.Equal(noon.Add(7*24*time.Hour)) {
			t.Errorf("%+v %t", last, found)
		}
	})
}
