package conform_test

import (
	"testing"

	"github.com/switchyard-dev/switchyard/conform"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// The example app, with real BullMQ on a real Redis, keeps every rule; so it does with a durable
// intake, and when it is asked a second time.
func TestTheExampleAppKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, intake := range []string{"", "durable"} {
		s := redistest.Start(t)
		url, _ := ingestiontest.Start(t, "dist/main.js", "SOURCE_REDIS_URL=redis://"+s.Addr(),
			"WEBHOOK_SECRET=none", "INGESTION_TOKEN=right", "INSTANCE_ID=web.1", "QUEUE=orders",
			"INTAKE="+intake)
		for range 2 {
			all := conform.Run(t.Context(), conform.Options{URL: url, Token: "right", Queue: "orders"})
			if broken, open := conform.Failed(all); broken+open > 0 {
				t.Errorf("intake %q:\n%s", intake, told(all))
			}
		}
	}
}
