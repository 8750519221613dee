package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// TestBrowserDrawsCharts looks at the charts of the queues' page in a browser, with and without
// its script. See e2e/charts.mjs.
func TestBrowserDrawsCharts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	url, log := serveAlone(t, redistest.Start(t).URL())
	walk(ctx, t, log, "charts", url, adaPassword)
}
