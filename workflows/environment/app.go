package environment

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// App is the ingestion app.
type App struct{ *ingestion.Client }

// CanaryID is a new id for a canary job.
func CanaryID() string { return ledger.CanaryID(strings.ToLower(rand.Text()[:12])) }

// CanaryAccepted waits until the app takes a canary job on the given endpoint.
func (a App) CanaryAccepted(ctx context.Context, c *engine.Call, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return engine.Await(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		r, err := a.Canary(ctx, CanaryID())
		switch {
		case err != nil:
			return engine.NotYet("the app does not respond: %v", err)
		case r.Status != 200:
			return engine.NotYet("the app rejects jobs with %d (%s)", r.Status, r.Error)
		case r.Endpoint != endpoint:
			return engine.NotYet("the app added a job on %s, not on %s", r.Endpoint, endpoint)
		}
		c.Log("the app added a canary job on %s in %d ms", r.Endpoint, r.MS)
		return nil
	})
}
