package conform_test

import (
	"testing"

	"github.com/switchyard-dev/switchyard/conform"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The kit, with real BullMQ on a real Redis, keeps every rule on each of its journals, with a
// durable intake too, and when it is asked a second time.
func TestTheKitKeepsTheContractOnEachJournal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		journal string
		url     func(*testing.T) string
	}{
		{"SQLite", func(*testing.T) string { return "" }},
		{"Redis", func(t *testing.T) string { return redistest.Start(t).URL() }},
		{"PostgreSQL", func(t *testing.T) string { return pgtest.Database(t).Reveal() }},
	} {
		for _, intake := range []string{"", "durable"} {
			t.Run(tc.journal+" "+intake, func(t *testing.T) {
				t.Parallel()
				s := redistest.Start(t)
				url, _ := ingestiontest.Start(t, "dist/main.js", "SOURCE_REDIS_URL=redis://"+
					s.Addr(), "WEBHOOK_SECRET=none", "INGESTION_TOKEN=right", "INSTANCE_ID=web.1",
					"QUEUE=orders", "INTAKE="+intake, "JOURNAL_URL="+tc.url(t))
				for range 2 {
					all := conform.Run(t.Context(), conform.Options{URL: url, Token: "right",
						Queue: "orders"})
					if broken, open := conform.Failed(all); broken+open > 0 {
						t.Errorf("\n%s", told(all))
					}
				}
			})
		}
	}
}
