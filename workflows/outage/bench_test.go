package outage

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// bench is a clock over a real store and environment.
type bench struct {
	*stepstest.Bench
	outage *Clock
}

func openBench(t *testing.T, cfg config.Config) *bench {
	t.Helper()
	b := stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
	e := b.Env
	return &bench{
		b,
		&Clock{Journal: e.Journal, Workers: e.Workers, App: e.App, Config: cfg, Now: b.Clock.Now},
	}
}

// catchUp reads the app's journal to its end.
func (b *bench) catchUp(t *testing.T) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = b.Env.Journal.Poll(t.Context())
		ok(t, err)
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, k migration.Kind, says ...string) {
	t.Helper()
	if err == nil || migration.KindOf(err) != k {
		t.Fatalf("got %v (%s), want kind %s", err, migration.KindOf(err), k)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("got %q, want it to say %q", err, s)
		}
	}
}
