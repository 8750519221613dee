package server

import (
	"net/http"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows"
)

func TestTheLedgerTellsWhatItFollowsAndIsNotCleanWithoutTheAppsJournal(t *testing.T) {
	t.Parallel()
	st := serve(t)
	for _, event := range []string{"added", "waiting"} {
		if err := st.redis.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "bull:order-ingestion:events", Values: []any{"event", event, "jobId", "evt_1"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c := st.as(t, "grace", viewerPass)
	var l workflows.LedgerOverview
	eventually(t, "the source's events are followed", func() bool {
		var err error
		if l, err = c.Ledger(t.Context(), mid); err != nil {
			t.Fatal(err)
		}
		for _, lane := range l.Lanes {
			if lane.Lane.Side == ledger.Source && !lane.Lane.Shadow && lane.Current && lane.Entries == 2 {
				return true
			}
		}
		return false
	})
	if l.Verdict != workflows.LedgerInconclusive || len(l.Reasons) == 0 || l.Journal != nil {
		t.Errorf("without a journal nothing is proven: %+v", l)
	}
	o, err := c.LedgerOrder(t.Context(), mid, "evt_1")
	if err != nil || len(o.Lives) != 1 || o.Lives[0].Stays[0] == nil || o.Lives[0].Stays[0].State != "waiting" || o.Journal != nil {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := c.LedgerOrder(t.Context(), mid, "nobody"); migration.KindOf(err) != migration.NotFound {
		t.Errorf("an order that nobody knows: %v", err)
	}
	b := st.browser(t, "grace", viewerPass)
	for path, want := range map[string]int{"?verdict=loss": http.StatusOK, "?verdict=odd": http.StatusBadRequest, "?limit=x": http.StatusBadRequest, "?limit=0": http.StatusBadRequest} {
		if r := b.get("/api/v1/migrations/" + mid + "/ledger/exceptions" + path); r.status != want {
			t.Errorf("%s gives %d, want %d: %s", path, r.status, want, r.text)
		}
	}
}
