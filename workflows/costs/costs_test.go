package costs

import (
	"context"
	"math"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// still is a LinodeBackend whose machines do nothing.
type still struct{}

func (still) Shutdown(context.Context, int) error { return nil }
func (still) Boot(context.Context, int) error     { return nil }
func (still) Delete(context.Context, int) error   { return nil }

func TestCostAndCapacityComeFromCountersAndTheHostsPriceList(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.Password("redis-CANARY"))
	api, err := providerstest.NewLinode(
		providerstest.LinodeConfig{
			Token:     "linode-CANARY",
			Backend:   still{},
			StatePath: filepath.Join(t.TempDir(), "linode.json"),
			Instances: []providerstest.LinodeInstance{
				{
					ID:     7,
					Label:  "redis",
					Status: "offline",
					Type:   "g6-standard-1",
					Region: "us-east",
				}, {ID: 8, Label: "node-1", Status: "running", Type: "g6-nanode-1", Region: "id-cgk"}},
		},
	)
	ok(t, err)
	t.Cleanup(api.Close)
	host := httptest.NewServer(api)
	t.Cleanup(host.Close)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Source.Standalone = config.Standalone{
		URL:         migration.Secret(srv.URL()),
		LinodeID:    7,
		LinodeLabel: "redis",
	}
	cfg.Source.Sentinel.Nodes = []config.Node{
		{LinodeID: 8, LinodeLabel: "node-1"},
		{LinodeID: 9, LinodeLabel: "node-2"},
	}
	cfg.Linode.API, cfg.Linode.Token = host.URL, "linode-CANARY"
	b := stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
	e := b.Env
	book := &Book{
		Servers:  e.Servers,
		Routing:  e.Routing,
		Load:     e.Load,
		Managed:  e.Managed,
		Host:     e.Host,
		Settings: b.Store,
		Source:   cfg.Source,
		Now:      b.Clock.Now,
	}
	ctx := t.Context()

	a, err := book.Capacity(ctx, stepstest.Migration)
	ok(t, err)
	if a.PayAsYouGo != nil || a.Sides[0].Uses[0].State != capacity.Unknown || a.Phase != CostNow {
		t.Fatalf("before anything was measured: %+v", a)
	}
	if p := a.Phases; p[0].USD != 12 || !p[0].Complete || p[1].USD != 12+6+20 || p[1].Complete ||
		p[2].USD != 20 ||
		!p[2].Complete {
		t.Fatalf("%+v", p)
	}
	if l := a.Phases[1].Lines[2]; l.USD != nil || !strings.Contains(l.Source, "9") {
		t.Fatalf("a machine that does not exist: %+v", l)
	}

	client := srv.Client()
	// An hour of readings, with 50 scripts of 10 commands between any two.
	for range 31 {
		ok(t, b.Env.Load.Measure(ctx, stepstest.Migration))
		for range 50 {
			ok(
				t,
				client.Eval(ctx, `for i = 1, 10 do redis.call("INCR", "n") end return 1`, nil).
					Err(),
			)
		}
		b.Clock.Advance(2 * time.Minute)
	}
	a, err = book.Capacity(ctx, stepstest.Migration)
	ok(t, err)
	m := a.PayAsYouGo
	if m == nil || m.Side != "source" || m.Low == nil || !m.Enough {
		t.Fatalf("%+v", m)
	}
	// 550 commands in two minutes, of which 50 by clients; and what reading the counters itself asks.
	// The measuring takes time too, so the rates rest on a little more than the hour.
	rounds := 30 / m.Rates.Seen.Seconds()
	if c := m.Rates.Commands; c < 550*rounds || c > 600*rounds {
		t.Errorf("commands: %+v", m.Rates)
	}
	if c := m.Rates.Calls; c < 50*rounds || c > 70*rounds {
		t.Errorf("calls: %+v", m.Rates)
	}
	if want := m.Rates.Commands * 30 * 86400 / 100_000 * 0.2; math.Abs(m.High-want) > 1e-6 ||
		*m.Low >= m.High ||
		m.Cheaper() != "open" {
		t.Errorf("%+v, want %f: %s", m, want, m.Cheaper())
	}
	for _, u := range a.Sides[0].Uses {
		want := capacity.Fits
		if u.ProjectedFrom != "" { // an hour is no month
			want = capacity.Unknown
		}
		if u.State != want || u.Value <= 0 || u.Limit <= 0 || u.Trend != nil {
			t.Errorf("%+v", u)
		}
	}
	if s := a.Sides[1]; !strings.Contains(s.Error, "not provisioned") ||
		s.Uses[0].State != capacity.Unknown {
		t.Errorf("the target before it is there: %+v", s)
	}

	// A server that stops is a gap that is shown; a machine that is gone keeps its last price.
	srv.Kill()
	ok(t, b.Env.Load.Measure(ctx, stepstest.Migration))
	host.Close()
	b.Clock.Advance(48 * time.Hour)
	a, err = book.Capacity(ctx, stepstest.Migration)
	ok(t, err)
	if a.Sides[0].Error == "" || strings.Contains(a.Sides[0].Error, "CANARY") ||
		a.Phases[0].USD != 12 {
		t.Errorf("%+v", a.Sides[0].Error)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
