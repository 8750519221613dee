package providerstest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

// provider is what the suite asks of every client: one resource that is ensured, read, changed by somebody else, and removed. What exists is told by
// the stand-in, not by the client.
type provider interface {
	// Ensure brings the resource about as wanted. It is called again after an error, as a workflow does.
	Ensure(ctx context.Context) error
	// Read gives the resource's settings as the client sees them.
	Read(ctx context.Context) (string, error)
	// Remove is called again after an error.
	Remove(ctx context.Context) error

	// World gives every resource that exists, by id, with its settings.
	World() map[string]string
	// Drift changes the resource behind the client's back.
	Drift()
	// Faults are those of the stand-in.
	Faults() *providerstest.Faults
}

// subject is a provider of the suite.
type subject struct {
	open func(t *testing.T) provider
	// wanted is what Ensure brings about, bystander what was there before and must stay as it is.
	wanted, bystander string
	// kinds are the faults that the provider's world can show.
	kinds []providerstest.Kind
}

var everyKind = []providerstest.Kind{providerstest.Throttled, providerstest.ErrorBefore, providerstest.ErrorAfter, providerstest.BadGateway, providerstest.CutBefore, providerstest.CutAfter,
	providerstest.Truncated, providerstest.Silent, providerstest.Late}

var subjects = map[string]subject{
	"upstash that loses what it created": {openUpstashSubject(false, 2), "orders fixed_1gb us-east-1 eviction=false", "cache payg us-east-1 eviction=true", everyKind},
	"upstash":                            {openUpstashSubject(false, 0), "orders fixed_1gb us-east-1 eviction=false", "cache payg us-east-1 eviction=true", everyKind},
	"upstash with unique names": {openUpstashSubject(true, 0), "orders fixed_1gb us-east-1 eviction=false", "cache payg us-east-1 eviction=true",
		everyKind},
	"linode": {openLinodeSubject, "redis-linode snapshot=before-delete", "other running snapshot=", everyKind},
	"heroku": {openHerokuSubject, "TARGET_REDIS_URL=rediss://managed", "PORT=0", everyKind},
}

const (
	suiteSeeds  = 40
	suiteFaults = 8  // of one phase
	suiteTries  = 40 // of one phase; every try meets a fault or ends the phase
)

// Whatever goes wrong on the way, and however often a step is run again, there is one resource as wanted in the end and none besides it, or an error that
// names every one there is.
func TestEveryProviderEnsuresExactlyOne(t *testing.T) {
	t.Parallel()
	for name, s := range subjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			for seed := range uint64(suiteSeeds) {
				all.Go(func() { // waiting is most of it
					if err := exercise(t, s, rand.New(rand.NewPCG(seed, 1))); err != nil { //nolint:gosec // a test's choice
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			all.Wait()
		})
	}
}

func exercise(t *testing.T, s subject, r *rand.Rand) error {
	p := s.open(t)
	ctx := t.Context()
	before := p.World()
	others := maps.Clone(before)
	maps.DeleteFunc(others, func(_, settings string) bool { return settings != s.bystander })
	ours := func() map[string]string {
		w := p.World()
		maps.DeleteFunc(w, func(id, _ string) bool { _, other := others[id]; return other })
		return w
	}
	phases := []struct {
		name string
		do   func(context.Context) error
		want int
	}{{"ensure", p.Ensure, 1}, {"ensure again", p.Ensure, 1}, {"ensure after a change by somebody else", p.Ensure, 1}, {"remove", p.Remove, 0}}
	for i, phase := range phases {
		if i == 2 {
			p.Drift()
		}
		if err := unsettled(p, s, r, func() error { return phase.do(ctx) }); err != nil {
			now := ours()
			if migration.KindOf(err) != migration.Conflict || !slices.ContainsFunc(p.Faults().Seen(), func(f string) bool { return strings.Contains(f, string(providerstest.Late)) }) {
				return fmt.Errorf("%s: %w\nfaults: %v", phase.name, err, p.Faults().Seen())
			}
			// Two were made because one create took effect after it had been given up. All that is left is to name both: nobody's data is deleted.
			for id := range now {
				if !strings.Contains(err.Error(), id) {
					return fmt.Errorf("%s: %s exists and is not named by %w", phase.name, id, err)
				}
			}
			return nil
		}
		got := ours()
		if len(got) != phase.want {
			return fmt.Errorf("%s: there are %d: %v\nfaults: %v", phase.name, len(got), got, p.Faults().Seen())
		}
		for _, settings := range got {
			if settings != s.wanted {
				return fmt.Errorf("%s: %q, want %q\nfaults: %v", phase.name, settings, s.wanted, p.Faults().Seen())
			}
			var read string
			if err := again(func() (err error) { read, err = p.Read(ctx); return err }); err != nil || read != s.wanted {
				return fmt.Errorf("%s: read %q, %w", phase.name, read, err)
			}
		}
		for id, settings := range others {
			if p.World()[id] != settings {
				return fmt.Errorf("%s: the bystander is %q, was %q", phase.name, p.World()[id], settings)
			}
		}
	}
	return nil
}

// unsettled repeats do while faults come, and once more without any after everything that was under way has landed. A conflict is the end: repeating does
// not help.
func unsettled(p provider, s subject, r *rand.Rand, do func() error) error {
	left := suiteFaults
	var mu sync.Mutex
	p.Faults().Inject(func(providerstest.Request) providerstest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 || r.IntN(100) >= 40 {
			return providerstest.Fault{}
		}
		left--
		return providerstest.Fault{Kind: s.kinds[r.IntN(len(s.kinds))], After: 1 + r.IntN(9)}
	})
	err := again(do)
	p.Faults().Inject(nil)
	p.Faults().Land()
	if migration.KindOf(err) == migration.Conflict && err != nil {
		return err
	}
	return again(do)
}

// again repeats do until it gives no error, or one that repeating does not help against. A busy machine may be slower than the client is patient, also without faults.
func again(do func() error) (err error) {
	for range suiteTries {
		if err = do(); err == nil || migration.KindOf(err) == migration.Conflict {
			break
		}
	}
	return err
}

// impatient is the HTTP client of the suite: a silent server must not hold it up for long. It must be slower than a busy machine, or a create that is only slow is
// given up.
func impatient() *http.Client { return &http.Client{Timeout: 1500 * time.Millisecond} }

type upstashSubject struct {
	api    *providerstest.Upstash
	client *upstash.Client
}

// openUpstashSubject opens one whose first database is gone after so many reads; 0: it stays.
func openUpstashSubject(unique bool, goneAfter int) func(*testing.T) provider {
	return func(t *testing.T) provider {
		api, err := providerstest.NewUpstash(providerstest.UpstashConfig{Email: "ops@example.com", Key: key, Backend: &cloud{}, StatePath: filepath.Join(t.TempDir(), "u.json"), UniqueNames: unique})
		if err != nil {
			t.Error(err)
			return nil
		}
		srv := httptest.NewServer(api)
		t.Cleanup(srv.Close)
		p := &upstashSubject{api, upstash.New(srv.URL+"/v2", "ops@example.com", key, impatient())}
		other := request
		other.DatabaseName, other.Plan, other.Eviction = "cache", upstash.PayAsYouGo, true
		if _, err := p.client.Create(t.Context(), other); err != nil {
			t.Error(err)
		}
		api.Partly(func(nth int) providerstest.Partial {
			if nth > 0 {
				goneAfter = 0
			}
			return providerstest.Partial{ReadyAfter: 2, GoneAfter: goneAfter}
		})
		return p
	}
}

func (p *upstashSubject) Ensure(ctx context.Context) error {
	_, _, err := p.client.Ensure(ctx, request, upstash.EnsureOptions{Looks: 4, Every: time.Millisecond})
	return err
}

func (p *upstashSubject) Read(ctx context.Context) (string, error) {
	db, _, err := p.client.FindByName(ctx, "orders")
	name, _ := db.PlanName()
	return fmt.Sprintf("%s %s %s eviction=%v", db.Name, name, db.PrimaryRegion, db.Eviction), err
}

func (p *upstashSubject) Remove(ctx context.Context) error {
	db, found, err := p.client.FindByName(ctx, "orders")
	if err != nil || !found {
		return err
	}
	if err := p.client.Delete(ctx, db.ID); httpapi.Status(err) != http.StatusNotFound {
		return err
	}
	return nil
}

func (p *upstashSubject) World() map[string]string {
	out := map[string]string{}
	for _, d := range p.api.Databases() {
		out[d.ID] = fmt.Sprintf("%s %s %s eviction=%v", d.Name, d.Plan, d.Region, d.Eviction)
	}
	return out
}

func (p *upstashSubject) Drift() {
	for _, d := range p.api.Databases() {
		if d.Name == "orders" {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/v2/redis/enable-eviction/"+d.ID, nil)
			r.SetBasicAuth("ops@example.com", key)
			p.api.ServeHTTP(rec, r)
		}
	}
}

func (p *upstashSubject) Faults() *providerstest.Faults { return &p.api.Faults }

type linodeSubject struct {
	api    *providerstest.Linode
	client *linode.Client
}

// instant is a LinodeBackend whose actions take no time.
type instant struct{}

func (instant) Shutdown(context.Context, int) error { return nil }
func (instant) Boot(context.Context, int) error     { return nil }
func (instant) Delete(context.Context, int) error   { return nil }

func openLinodeSubject(t *testing.T) provider {
	api, err := providerstest.NewLinode(providerstest.LinodeConfig{Token: key, Backend: instant{}, StatePath: filepath.Join(t.TempDir(), "l.json"), Instances: []providerstest.LinodeInstance{
		{ID: 1, Label: "redis-linode", Status: "running", Backups: providerstest.LinodeBackups{Enabled: true}, Snapshot: &providerstest.LinodeSnapshot{ID: 90, Label: "old", Status: "successful", Created: "2026-01-01T00:00:00"}},
		{ID: 2, Label: "other", Status: "running"}}})
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(api.Close)
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	client, err := linode.New(srv.URL, key, impatient())
	if err != nil {
		t.Error(err)
		return nil
	}
	client.Poll(2 * time.Millisecond)
	return &linodeSubject{api, client}
}

func (p *linodeSubject) Ensure(ctx context.Context) error {
	_, err := p.client.Snapshot(ctx, 1, "before-delete")
	return err
}

func (p *linodeSubject) Read(ctx context.Context) (string, error) {
	inst, err := p.client.Instance(ctx, 1)
	if err != nil {
		return "", err
	}
	snap, err := p.client.Snapshot(ctx, 1, "before-delete") // it is there: taken for the wanted one
	return inst.Label + " snapshot=" + snap.Label, err
}

// Remove is what decommissioning does: off, then deleted by its label.
func (p *linodeSubject) Remove(ctx context.Context) error {
	if err := p.client.Shutdown(ctx, 1); linode.NotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err := p.client.WaitStatus(ctx, 1, linode.Offline); err != nil {
		return err
	}
	if err := p.client.Delete(ctx, 1, "redis-linode"); !linode.NotFound(err) {
		return err
	}
	return nil
}

func (p *linodeSubject) World() map[string]string {
	out := map[string]string{}
	for _, i := range p.api.Instances() {
		label := ""
		if i.Snapshot != nil {
			label = i.Snapshot.Label
		}
		if i.Label == "other" {
			label = ""
			i.Label += " " + i.Status
		}
		out[fmt.Sprint(i.ID)] = i.Label + " snapshot=" + label
	}
	return out
}

// Drift replaces the snapshot by another one.
func (p *linodeSubject) Drift() {
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodGet} {
		r := httptest.NewRequest(method, "/v4/linode/instances/1/backups", strings.NewReader(`{"label":"nightly"}`))
		r.Header.Set("Authorization", "Bearer "+key)
		p.api.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func (p *linodeSubject) Faults() *providerstest.Faults { return &p.api.Faults }

type herokuSubject struct {
	api    *providerstest.Heroku
	client *heroku.Client
}

// running is a HerokuBackend that restarts nothing.
type running struct{}

func (running) ConfigChanged(context.Context, string, map[string]string) error { return nil }

func openHerokuSubject(t *testing.T) provider {
	api, err := providerstest.NewHeroku(providerstest.HerokuConfig{Token: key, Backend: running{}, StatePath: filepath.Join(t.TempDir(), "h.json"), Apps: map[string]map[string]string{"shop": {"PORT": "0"}}})
	if err != nil {
		t.Error(err)
		return nil
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	return &herokuSubject{api, heroku.New(srv.URL, key, impatient())}
}

func (p *herokuSubject) Ensure(ctx context.Context) error {
	return second(p.client.SetConfigVars(ctx, "shop", map[string]*migration.Secret{"TARGET_REDIS_URL": secret("rediss://managed")}))
}

func (p *herokuSubject) Read(ctx context.Context) (string, error) {
	vars, err := p.client.ConfigVars(ctx, "shop")
	return "TARGET_REDIS_URL=" + vars["TARGET_REDIS_URL"].Reveal(), err
}

func (p *herokuSubject) Remove(ctx context.Context) error {
	return second(p.client.SetConfigVars(ctx, "shop", map[string]*migration.Secret{"TARGET_REDIS_URL": nil}))
}

func (p *herokuSubject) World() map[string]string {
	out := map[string]string{}
	vars, _ := p.api.ConfigVars("shop")
	for name, value := range vars {
		out[name] = name + "=" + value
	}
	return out
}

func (p *herokuSubject) Drift() {
	r := httptest.NewRequest(http.MethodPatch, "/apps/shop/config-vars", strings.NewReader(`{"TARGET_REDIS_URL":"rediss://elsewhere"}`))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	p.api.ServeHTTP(httptest.NewRecorder(), r)
}

func (p *herokuSubject) Faults() *providerstest.Faults { return &p.api.Faults }
