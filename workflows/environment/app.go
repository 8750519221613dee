package environment

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/workflows/engine"
)

// App is what takes orders in: one app, or several that have a routed queue each. The client is
// of the one at ingestion.url.
type App struct {
	*ingestion.Client
	URL string
	// Queues are the routed ones.
	Queues []string
	// instances are at addresses of their own.
	instances map[string]*ingestion.Client
	takers    *takers
}

// takers is at which address something was taken last: jobs of a queue, a sender's replays.
type takers struct {
	mu sync.Mutex
	at map[string]string
}

// keep remembers an address; "" forgets.
func (t *takers) keep(what, url string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at[what] = url; url == "" {
		delete(t.at, what)
	}
}

func (t *takers) last(what string) (string, bool) {
	if t == nil {
		return "", false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	url, known := t.at[what]
	return url, known
}

// newApp gives the app at url, and its instances.
func newApp(
	url string, client *ingestion.Client, queues []string, instances map[string]*ingestion.Client,
) App {
	return App{client, url, queues, instances, &takers{at: map[string]string{}}}
}

// Instance is an app that answers at an address.
type Instance struct {
	*ingestion.Client
	URL string
}

// At gives the client of an address; of the app's own for one that is not known any more.
func (a App) At(url string) *ingestion.Client {
	if c, known := a.instances[url]; known {
		return c
	}
	return a.Client
}

// addresses lists where to ask for something: where it was taken last, then the app's own.
func (a App) addresses(what string) []string {
	out := []string{a.URL}
	if last, known := a.takers.last(what); known && last != a.URL {
		out = []string{last, a.URL}
	}
	for _, url := range slices.Sorted(maps.Keys(a.instances)) {
		if !slices.Contains(out, url) {
			out = append(out, url)
		}
	}
	return out
}

// asking asks one address after the other for something until one does not refuse it as none
// of its own. Blocked, with what each said: all refuse. An address that gives no answer ends
// it: who cannot be asked has not refused.
func (a App) asking(
	what string, ask func(at Instance) (refused string, err error),
) error {
	var refusals []string
	for _, url := range a.addresses(what) {
		refused, err := ask(Instance{a.At(url), url})
		switch {
		case err != nil:
			a.takers.keep(what, "")
			return err
		case refused == "":
			a.takers.keep(what, url)
			return nil
		}
		refusals = append(refusals, refused)
	}
	return migration.Errorf(migration.Blocked, "no app takes %s: %s; list the address of the one that "+
		"does in ingestion.instances", what, strings.Join(refusals, "; "))
}

// Adding asks for the app that adds to a queue, as asking does.
func (a App) Adding(queue string, ask func(at Instance) (refused string, err error)) error {
	return a.asking("jobs of "+queue, ask)
}

// Replay gives what a sender's API gave to the app that takes the sender's webhooks, see
// ingestion.Client.
func (a App) Replay(
	ctx context.Context, sender string, body json.RawMessage,
) (status int, reason string, err error) {
	err = a.asking("replays of "+sender, func(at Instance) (string, error) {
		var err error
		status, reason, err = at.Client.Replay(ctx, sender, body)
		if err == nil && status == http.StatusUnprocessableEntity {
			return reason, nil
		}
		return "", err
	})
	return status, reason, err
}

// Canary sends a job through the path of a routed queue's orders, without effect. An app that
// does not tell which queue it was may be asked about the only one.
func (a App) Canary(ctx context.Context, id, queue string) (ingestion.CanaryResult, error) {
	var r ingestion.CanaryResult
	err := a.Adding(queue, func(at Instance) (refused string, err error) {
		r, err = at.Client.Canary(ctx, id, queue)
		if err == nil && r.Refused == "" && r.Queue != queue && (r.Queue != "" || len(a.Queues) > 1) {
			err = migration.Errorf(migration.Blocked, "a canary of %s was added to another queue: the "+
				"app names %q; it has to obey, and answer with, the canary's queue", queue, r.Queue)
		}
		return r.Refused, err
	})
	return r, err
}

// CanaryID is a new id for a canary job.
func CanaryID() string { return ledger.CanaryID(strings.ToLower(rand.Text()[:12])) }

// CanaryAccepted waits until a canary job of every routed queue is taken on the given endpoint.
func (a App) CanaryAccepted(ctx context.Context, c *engine.Call, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, queue := range a.Queues {
		if err := engine.Await(ctx, 250*time.Millisecond, func(ctx context.Context) error {
			r, err := a.Canary(ctx, CanaryID(), queue)
			switch {
			case err != nil:
				return engine.NotYet("the app does not respond: %v", err)
			case r.Status != 200:
				return engine.NotYet("the app rejects jobs of %s with %d (%s)", queue, r.Status, r.Error)
			case r.Endpoint != endpoint:
				return engine.NotYet("the app added a job of %s on %s, not on %s", queue, r.Endpoint,
					endpoint)
			}
			c.Log("the app added a canary job of %s on %s in %d ms", queue, r.Endpoint, r.MS)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
