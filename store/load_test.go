package store

import (
	"encoding/json"
	"testing"
	"time"
)

func TestAnHourOfLoadIsWrittenOverAndOldOnesAreForgotten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store) {
		save := func(side string, start time.Time, body string) {
			t.Helper()
			ok(t, s.SaveLoadHour(t.Context(), mid, side, LoadHour{start, json.RawMessage(body)},
				noon.Add(-24*time.Hour)))
		}
		save("source", noon.Add(-23*time.Hour), `{"commands":1}`)
		// too old: deleted by the same call
		save("source", noon.Add(-25*time.Hour), `{"commands":9}`)
		save("source", noon, `{"commands":2}`)
		save("source", noon, `{"commands":3}`)
		save("target", noon, `{"commands":4}`)
		hours, err := s.LoadHours(t.Context(), mid, "source", noon.Add(-48*time.Hour))
		ok(t, err)
		if len(hours) != 2 || string(hours[0].Body) != `{"commands":1}` ||
			string(hours[1].Body) != `{"commands":3}` || !hours[1].Start.Equal(noon) {
			t.Fatalf("%s", hours)
		}
		if hours, err = s.LoadHours(t.Context(), mid, "source", noon); err != nil ||
			len(hours) != 1 {
			t.Fatalf("%v %v", hours, err)
		}
		if err := s.SaveLoadHour(t.Context(), mid, "elsewhere",
			LoadHour{noon, json.RawMessage(`{}`)}, noon); err == nil {
			t.Fatal("a side that does not exist was saved")
		}
	})
}
