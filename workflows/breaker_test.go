package workflows

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

func TestTheMatrixKeepsTheDurableIntakeApart(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	ok(
		t,
		b.engine.Record(
			t.Context(),
			mid,
			"",
			evidence.Drill,
			migration.Observed,
			"test",
			evidence.DrillFacts{Bench: []evidence.BenchCase{
				{
					Queue:    "orders",
					Fault:    "frozen",
					Status:   503,
					MS:       2000,
					LimitMS:  2500,
					Instance: "web.1",

					RecoveredMS: migration.Measured(90),
				},
				{
					Queue:       "orders",
					Fault:       "frozen",
					Intake:      true,
					Status:      200,
					MS:          4,
					LimitMS:     2500,
					Left:        1,
					RecoveredMS: migration.Figure{},
					Instance:    "web.1",
				},
				{Queue: "reports", Refused: "queue reports is none of orders"}}},
		),
	)
	proof, err := b.BreakerProof(t.Context(), mid)
	ok(t, err)
	by := map[string]QueueProof{}
	for _, q := range proof.Queues {
		by[q.Queue] = q
	}
	if q := by["orders"]; !q.Bench["frozen"].OK || len(q.Bench) != 1 || len(q.Intake) != 1 ||
		q.Intake["frozen"].OK ||
		!strings.Contains(q.Intake["frozen"].Why, "still on disk") ||
		q.Instance != "web.1" ||
		q.Refused != "" {
		t.Errorf("%+v", q)
	}
	if q := by["reports"]; q.Refused == "" || len(q.Bench) != 0 || q.Intake != nil {
		t.Errorf("%+v", q)
	}
}
