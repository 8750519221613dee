package providerstest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
)

// managedWorld is what the suite does behind a managed service's back.
type managedWorld interface {
	// World gives every database that exists, by id, with its settings.
	World() map[string]string
	// Drift has somebody switch eviction on in the wanted database, Mend off again.
	Drift()
	Mend()
	// Vanish removes the wanted database.
	Vanish()
	Faults() *providerstest.Faults
}

// managedSubject is an implementation of providers.Managed in the suite.
type managedSubject struct {
	is   string // its type
	open func(t *testing.T) (providers.Managed, managedWorld)
	can  providers.ManagedCan
	said providers.Said // the proofs alone count
	// wanted is what Ensure brings about, bystander what was there before and must stay
	// as it is.
	wanted, bystander string
	// kinds are the faults that the service's world can show.
	kinds    []providerstest.Kind
	patience time.Duration
}

const (
	upstashWanted    = "orders fixed_1gb us-east-1 eviction=false"
	upstashBystander = "cache payg us-east-1 eviction=true"
)

var (
	upstashCan  = providers.ManagedCan{Create: true, StopEviction: true}
	upstashSaid = proofs(migration.Observed, migration.Observed, migration.Documented,
		migration.Observed, migration.Observed)
)

// proofs are those of a Said: plan, limits, price, region, server.
func proofs(plan, limits, price, region, server migration.Proof) providers.Said {
	b := func(p migration.Proof) providers.Basis { return providers.Basis{Proof: p} }
	return providers.Said{Plan: b(plan), Limits: b(limits), Price: b(price), Region: b(region),
		Server: b(server)}
}

var managedSubjects = map[string]managedSubject{
	"upstash that loses what it created": {"*upstash.Managed", openUpstash(false, 2), upstashCan,
		upstashSaid, upstashWanted, upstashBystander, everyKind, 0},
	"upstash": {"*upstash.Managed", openUpstash(false, 0), upstashCan, upstashSaid,
		upstashWanted, upstashBystander, everyKind, 0},
	"upstash with unique names": {"*upstash.Managed", openUpstash(true, 0), upstashCan,
		upstashSaid, upstashWanted, upstashBystander, everyKind, 0},
	"a database at a URL": {"*byurl.Managed", openURL, providers.ManagedCan{},
		proofs(migration.Attested, migration.Attested, migration.Attested, migration.Attested,
			migration.Observed),
		"eviction=false written=0", "", everyKind, 1500 * time.Millisecond},
}

// final: two of a name, and what the service will not do, do not change by asking again.
func managedFinal(err error) bool {
	kind := migration.KindOf(err)
	return kind == migration.Conflict || kind == migration.Blocked
}

// Whatever goes wrong on the way, there is one database as wanted in the end and none
// besides it, or an error that names every one there is.
func TestEveryManagedServiceEnsuresExactlyOne(t *testing.T) {
	t.Parallel()
	for name, s := range managedSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSeed(t, func(r *rand.Rand) error { return s.exercise(t, r) })
		})
	}
}

func (s managedSubject) exercise(t *testing.T, r *rand.Rand) error {
	ctx := t.Context()
	m, w := s.open(t)
	tr := trial{w.Faults(), r, s.kinds, s.patience, managedFinal}
	others := maps.Clone(w.World())
	maps.DeleteFunc(others, func(_, settings string) bool { return settings != s.bystander })
	ours := func() map[string]string {
		now := w.World()
		maps.DeleteFunc(now, func(id, _ string) bool { _, other := others[id]; return other })
		return now
	}
	ensure := func(ctx context.Context) error { _, _, err := m.Ensure(ctx, nil); return err }
	for _, phase := range []string{"ensure", "again", "after somebody switched eviction on"} {
		if phase == "after somebody switched eviction on" {
			w.Drift()
			if !s.can.StopEviction {
				err := tr.unsettled(ctx, ensure)
				if err := refused(err, providers.ErrUnsupported); err != nil {
					return fmt.Errorf("%s: %w", phase, err)
				}
				w.Mend()
			}
		}
		if err := tr.unsettled(ctx, ensure); err != nil {
			return s.namesEvery(err, ours(), w.Faults().Seen(), phase)
		}
		if err := s.asWanted(ctx, tr, m, ours()); err != nil {
			return fmt.Errorf("%s: %w\nfaults: %v", phase, err, w.Faults().Seen())
		}
		for id, settings := range others {
			if now := w.World()[id]; now != settings {
				return fmt.Errorf("%s: the bystander is %q, was %q", phase, now, settings)
			}
		}
	}
	return nil
}

// namesEvery: two were made because one create took effect after it had been given up.
// All that is left then is to name both, since nobody's data is deleted.
func (s managedSubject) namesEvery(
	err error,
	now map[string]string,
	seen []string,
	phase string,
) error {
	late := func(f string) bool { return strings.Contains(f, string(providerstest.Late)) }
	if migration.KindOf(err) != migration.Conflict || !slices.ContainsFunc(seen, late) {
		return fmt.Errorf("%s: %w\nfaults: %v", phase, err, seen)
	}
	for id := range now {
		if !strings.Contains(err.Error(), id) {
			return fmt.Errorf("%s: %s exists and is not named by %w", phase, id, err)
		}
	}
	return nil
}

// asWanted: there is one, as wanted, and every method says so.
func (s managedSubject) asWanted(
	ctx context.Context, tr trial, m providers.Managed, world map[string]string,
) error {
	if len(world) != 1 {
		return fmt.Errorf("there are %d: %v", len(world), world)
	}
	for id, settings := range world {
		if settings != s.wanted {
			return fmt.Errorf("%q, want %q", settings, s.wanted)
		}
		return tr.again(ctx, func(ctx context.Context) error { return s.reads(ctx, m, id) })
	}
	return nil
}

func (s managedSubject) reads(ctx context.Context, m providers.Managed, id string) error {
	found, err := m.Find(ctx)
	if err != nil {
		return err
	}
	if bad := migration.Failing(found.Fit); !found.Exists || found.Database.ID != id ||
		len(bad) > 0 {
		return fmt.Errorf("found %+v, want %s", found, id)
	}
	db, err := m.Describe(ctx, id)
	if err != nil {
		return err
	}
	if !db.PlanFits || db.PlanNote == "" || db.Eviction || !db.TLS || db.Plan.MaxBytes == 0 ||
		db.State != providers.StateActive || len(db.SameName) > 0 {
		return fmt.Errorf("described as %+v", db)
	}
	access, err := m.Access(ctx, id)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(access.URL.Reveal(), "rediss://") || access.From == "" {
		return errors.New("no URL of TLS, or nobody knows where it is from")
	}
	if text := fmt.Sprintf("%+v %+v %+v", found, db, access); strings.Contains(text, canary) {
		return fmt.Errorf("a credential is in %s", text)
	}
	return errors.Join(
		based("the plan", db.Said.Plan, s.said.Plan.Proof),
		based("a limit", db.Said.Limits, s.said.Limits.Proof),
		based("the price", db.Said.Price, s.said.Price.Proof),
		based("the region", db.Said.Region, s.said.Region.Proof),
		based("the server's state", db.Said.Server, s.said.Server.Proof),
		based("all of it", db.Said.Basis(), providers.Weakest(s.said.Plan, s.said.Region,
			s.said.Server).Proof))
}

// managedAbilities are what a service can do: a test where it can, and one where it
// cannot.
var managedAbilities = map[string]struct {
	has           func(providers.ManagedCan) bool
	with, without func(ctx context.Context, m providers.Managed, w managedWorld) error
}{
	"Create": {func(c providers.ManagedCan) bool { return c.Create }, creates, createsNone},
	"StopEviction": {func(c providers.ManagedCan) bool { return c.StopEviction },
		stopsEviction, leavesEviction},
}

func TestEveryManagedServiceDoesWhatItCanAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	everyAbility(t, providers.ManagedCan{}, slices.Collect(maps.Keys(managedAbilities)))
	for name, s := range managedSubjects {
		for ability, a := range managedAbilities {
			t.Run(name+"/"+ability, func(t *testing.T) {
				t.Parallel()
				m, w := s.open(t)
				if can := m.Offer().Can; can != s.can {
					t.Fatalf("it says that it can %+v, declared is %+v", can, s.can)
				}
				test := a.without
				if a.has(s.can) {
					test = a.with
				}
				if err := test(t.Context(), m, w); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// wantedOne ensures the database and gives its id.
func wantedOne(ctx context.Context, m providers.Managed) (id string, err error) {
	err = errors.New("not tried")
	for range suiteTries { // one of the services loses what it created
		var db providers.Database
		if db, _, err = m.Ensure(ctx, nil); err == nil {
			return db.ID, nil
		}
	}
	return "", err
}

func creates(ctx context.Context, m providers.Managed, w managedWorld) error {
	first, err := wantedOne(ctx, m)
	if err != nil {
		return err
	}
	before := len(w.World())
	w.Vanish()
	if db, err := m.Describe(ctx, first); err != nil || db.State != providers.StateDeleted {
		return fmt.Errorf("it is gone and %q (%w)", db.State, err)
	}
	if found, err := m.Find(ctx); err != nil || found.Exists ||
		len(migration.Failing(found.Fit)) > 0 {
		return fmt.Errorf("before it is created again: %+v (%w)", found, err)
	}
	var told string
	db, created, err := m.Ensure(ctx, func(db providers.Database, _ bool) error {
		told = db.ID
		return nil
	})
	if err != nil || !created || db.ID == first || told != db.ID || len(w.World()) != before {
		return fmt.Errorf("created %v, %s (told %s), %d exist: %w", created, db.ID, told,
			len(w.World()), err)
	}
	return nil
}

func createsNone(ctx context.Context, m providers.Managed, w managedWorld) error {
	id, err := wantedOne(ctx, m)
	if err != nil {
		return err
	}
	w.Vanish()
	if _, err := m.Describe(ctx, id); migration.KindOf(err) != migration.Unavailable {
		return fmt.Errorf("describing what does not answer: %w", err)
	}
	told := false
	_, created, err := m.Ensure(ctx,
		func(providers.Database, bool) error { told = true; return nil })
	if created || told || len(w.World()) > 0 {
		return fmt.Errorf("created %v, told %v, there are %v", created, told, w.World())
	}
	if err := refused(err, providers.ErrUnsupported); err != nil {
		return err
	}
	if !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), m.Offer().Key) {
		return fmt.Errorf("neither %s nor %s is named: %w", id, m.Offer().Key, err)
	}
	return nil
}

func stopsEviction(ctx context.Context, m providers.Managed, w managedWorld) error {
	id, err := wantedOne(ctx, m)
	if err != nil {
		return err
	}
	w.Drift()
	if db, err := m.Describe(ctx, id); err != nil || !db.Eviction {
		return fmt.Errorf("eviction is on and not seen (%w)", err)
	}
	if found, err := m.Find(ctx); err != nil || len(migration.Failing(found.Fit)) > 0 {
		return fmt.Errorf("what Ensure mends is held against it: %+v (%w)", found.Fit, err)
	}
	db, _, err := m.Ensure(ctx, nil)
	if err != nil || db.Eviction {
		return fmt.Errorf("eviction %v: %w", db.Eviction, err)
	}
	return nil
}

func leavesEviction(ctx context.Context, m providers.Managed, w managedWorld) error {
	if _, err := wantedOne(ctx, m); err != nil {
		return err
	}
	w.Drift()
	before := w.World()
	found, err := m.Find(ctx)
	bad := migration.Failing(found.Fit)
	if err != nil || len(bad) != 1 || bad[0].ID != "eviction" || bad[0].Next == "" {
		return fmt.Errorf("gates that do not hold: %+v (%w)", bad, err)
	}
	_, _, err = m.Ensure(ctx, nil)
	if err := refused(err, providers.ErrUnsupported); err != nil {
		return err
	}
	if !strings.Contains(err.Error(), "Eviction") || !maps.Equal(w.World(), before) {
		return fmt.Errorf("eviction is not named, or something changed: %w", err)
	}
	return nil
}

// A database of another id than the configured one is not described as if it were that.
func TestNoManagedServiceTakesOneDatabaseForAnother(t *testing.T) {
	t.Parallel()
	for name, s := range managedSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := s.open(t)
			if _, err := wantedOne(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			const other = "elsewhere.example.com:6379"
			db, err := m.Describe(t.Context(), other)
			if err == nil && db.State != providers.StateDeleted {
				t.Errorf("described as %+v", db)
			}
			if access, err := m.Access(t.Context(), other); err == nil || !access.URL.IsZero() {
				t.Error("access to a database that is not the target's")
			}
		})
	}
}

type upstashWorld struct {
	api *providerstest.Upstash
	// goes: the stand-in loses the first database.
	client *upstash.Client
}

// openUpstash opens one whose first database is gone after so many reads; 0: it stays.
func openUpstash(unique bool, goneAfter int) func(*testing.T) (providers.Managed, managedWorld) {
	return func(t *testing.T) (providers.Managed, managedWorld) {
		api, err := providerstest.NewUpstash(providerstest.UpstashConfig{Email: "ops@example.com",
			Key: canary, Backend: &cloud{}, StatePath: filepath.Join(t.TempDir(), "u.json"),
			UniqueNames: unique})
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		srv := httptest.NewServer(api)
		t.Cleanup(srv.Close)
		client := upstash.New(srv.URL+"/v2", "ops@example.com", canary, impatient())
		other := request
		other.DatabaseName, other.Plan, other.Eviction = "cache", upstash.PayAsYouGo, true
		if _, err := client.Create(t.Context(), other); err != nil {
			t.Error(err)
		}
		api.Partly(func(nth int) providerstest.Partial {
			if nth > 0 {
				goneAfter = 0
			}
			return providerstest.Partial{ReadyAfter: 2, GoneAfter: goneAfter}
		})
		m := &upstash.Managed{Client: client, Want: request, Looks: 4, Every: time.Millisecond}
		return m, upstashWorld{api, client}
	}
}

func (w upstashWorld) World() map[string]string {
	out := map[string]string{}
	for _, d := range w.api.Databases() {
		out[d.ID] = fmt.Sprintf("%s %s %s eviction=%v", d.Name, d.Plan, d.Region, d.Eviction)
	}
	return out
}

func (w upstashWorld) Drift()  { w.send(http.MethodPost, "enable-eviction") }
func (w upstashWorld) Mend()   { w.send(http.MethodPost, "disable-eviction") }
func (w upstashWorld) Vanish() { w.send(http.MethodDelete, "database") }

// send does something to the wanted database behind the client's back.
func (w upstashWorld) send(method, what string) {
	for _, d := range w.api.Databases() {
		if d.Name != request.DatabaseName {
			continue
		}
		r := httptest.NewRequestWithContext(context.Background(), method, "/v2/redis/"+what+"/"+d.ID, nil)
		r.SetBasicAuth("ops@example.com", canary)
		w.api.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func (w upstashWorld) Faults() *providerstest.Faults { return &w.api.Faults }
