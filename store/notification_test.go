package store

import (
	"encoding/json"
	"testing"
	"time"
)

func tell(channel, kind, key, event string, at time.Time) Notification {
	return Notification{Channel: channel, Kind: kind, Key: key, EventID: event,
		Event: json.RawMessage(`{"id":"` + event + `"}`), CreatedAt: at}
}

func TestAChannelThatIsDownOwesAtMostTheLastAlertAndItsEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		const key = mid + "/outage/stripe"
		save := func(c AlertChange) { t.Helper(); ok(t, s.SaveAlerts(t.Context(), mid, c)) }
		due := func(channel string, at time.Time) []Notification {
			t.Helper()
			n, err := s.DueNotifications(t.Context(), channel, at, 10)
			ok(t, err)
			return n
		}
		opened := OpenAlert{Key: key, Severity: "warning", Event: json.RawMessage(`{}`),
			OpenedAt: noon}
		save(AlertChange{Save: []OpenAlert{opened}, Tell: []Notification{tell("slack", "alert",
			key, "a", noon), tell("pager", "alert", key, "a", noon)}})
		// a repeat is none
		save(AlertChange{Tell: []Notification{tell("slack", "alert", key, "a", noon)}})
		first := due("pager", noon)
		if len(first) != 1 || len(due("slack", noon)) != 1 ||
			len(due("slack", noon.Add(-time.Second))) != 0 {
			t.Fatalf("%+v", first)
		}
		ok(t, s.NotificationSent(t.Context(), "pager", first[0].ID, noon))
		later := noon.Add(time.Minute)
		ok(t, s.NotificationFailed(t.Context(), "slack", due("slack", noon)[0].ID,
			"it answered 500", &later, noon))
		if len(due("slack", noon)) != 0 || len(due("slack", later)) != 1 ||
			due("slack", later)[0].Tries != 1 {
			t.Fatal("the wait is not kept")
		}
		// only the severity is written over
		opened.Severity, opened.OpenedAt = "critical", later
		save(AlertChange{Save: []OpenAlert{opened}, Tell: []Notification{tell("slack", "alert",
			key, "b", later), tell("pager", "alert", key, "b", later)}})
		if open, err := s.OpenAlerts(t.Context(), mid); err != nil || len(open) != 1 ||
			open[0].Severity != "critical" || !open[0].OpenedAt.Equal(noon) {
			t.Fatalf("%+v %v", open, err)
		}
		if told, err := s.ToldChannels(t.Context(), key, noon); err != nil || len(told) != 2 {
			t.Fatalf("%v %v", told, err)
		}
		save(AlertChange{Close: []string{key}, Tell: []Notification{tell("slack", "resolve",
			key, "end", later), tell("pager", "resolve", key, "end", later)}})
		n := due("slack", later)
		// a is replaced
		if len(n) != 2 || n[0].EventID != "b" || n[0].Kind != "alert" ||
			n[1].Kind != "resolve" {
			t.Fatalf("%+v", n)
		}
		again := later.Add(time.Minute)
		ok(t, s.NotificationFailed(t.Context(), "slack", n[0].ID, "it answered 500",
			&again, later))
		if n := due("slack", later); len(n) != 0 {
			t.Fatalf("the end comes before the beginning: %+v", n)
		}
		ok(t, s.NotificationSent(t.Context(), "slack", n[0].ID, later))
		if n = due("slack", later); len(n) != 1 || n[0].Kind != "resolve" {
			t.Fatalf("%+v", n)
		}
		ok(t, s.NotificationFailed(t.Context(), "slack", n[0].ID, "it answered 410",
			nil, later))
		if n = due("slack", later.Add(time.Hour)); len(n) != 0 {
			t.Fatalf("what was given up is due: %+v", n)
		}
		health, err := s.ChannelHealth(t.Context())
		ok(t, err)
		if h := health["slack"]; h.Sent != 1 || h.Failed != 3 || h.Error != "it answered 410" ||
			h.GivenUp != 1 || h.Waiting != 0 || !h.FailedAt.Equal(later) {
			t.Errorf("%+v", h)
		}
		if h := health["pager"]; h.Sent != 1 || h.Waiting != 2 || h.FailedAt != nil {
			t.Errorf("%+v", h)
		}
		if open, err := s.OpenAlerts(t.Context(), mid); err != nil || len(open) != 0 {
			t.Errorf("%+v %v", open, err)
		}
		if all, err := s.Notifications(t.Context(), mid, "", 10); err != nil || len(all) != 5 ||
			all[0].EventID != "end" {
			t.Errorf("%+v %v", all, err)
		}
		ok(t, s.TidyNotifications(t.Context(), []string{"pager"}, noon.Add(time.Second)))
		// those of slack are gone, and the one that was sent at noon
		if all, err := s.Notifications(t.Context(), mid, key, 10); err != nil ||
			len(all) != 2 || all[1].EventID != "b" {
			t.Errorf("%+v %v", all, err)
		}
	})
}
