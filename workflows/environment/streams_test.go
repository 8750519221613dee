package environment

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
)

func TestAnAlertIsOneLineWithStableFieldsWhenItOpensAndOneWhenItIsSettled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	told := 0
	s := &follower{Streams: &Streams{notify: func(topic string) { told++ }, log: slog.New(slog.NewJSONHandler(&out, nil))}}
	x := ledger.Exception{Queue: "order-ingestion", Job: "evt_1", Verdict: ledger.Late, At: 1000, Detail: "not ended"}
	s.alert([]ledger.Exception{x})
	x.SettledBy, x.SettledAt = "it took effect after all", 43_000
	s.alert([]ledger.Exception{x})
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if len(lines) != 2 || told != 2 {
		t.Fatalf("%d lines, pages told %d times: %s", len(lines), told, &out)
	}
	for i, want := range []map[string]any{
		{"level": "WARN", "msg": "order ledger", "alert": "order_late", "state": "open", "verdict": "late", "queue": "order-ingestion", "job": "evt_1", "detail": "not ended"},
		{"level": "INFO", "msg": "order ledger", "alert": "order_late", "state": "settled", "verdict": "late", "queue": "order-ingestion", "job": "evt_1", "detail": "not ended", "settled_by": "it took effect after all", "seconds": 42.0},
	} {
		var got map[string]any
		if err := json.Unmarshal(lines[i], &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "time")
		if len(got) != len(want) {
			t.Errorf("line %d has the fields %v, want %v", i, got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("line %d: %s is %v, want %v", i, k, got[k], v)
			}
		}
	}
}
