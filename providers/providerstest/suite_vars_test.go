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
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byhand"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// varsWorld is what the suite does behind the back of what has an app's config vars.
type varsWorld interface {
	// World gives the app's variables.
	World() map[string]string
	// Person sets a variable where there is no API; a value of "" removes it. With faults
	// it comes late. Where there is an API nobody does anything.
	Person(name, value string)
	// Drift has somebody set it to another value, whatever there is.
	Drift(name string)
	Faults() *providerstest.Faults
}

// varsSubject is an implementation of providers.ConfigVars in the suite.
type varsSubject struct {
	is    string
	open  func(t *testing.T) (providers.ConfigVars, varsWorld)
	can   providers.VarsCan
	proof migration.Proof
	kinds []providerstest.Kind
}

var varsSubjects = map[string]varsSubject{
	"heroku": {"heroku.Vars", openHeroku, providers.VarsCan{Read: true, Set: true},
		migration.Observed, everyKind},
	"a person": {"byhand.Vars", openApp, providers.VarsCan{}, migration.Attested,
		[]providerstest.Kind{providerstest.ErrorBefore, providerstest.Late}},
}

// targetVar is the variable of the suite; its value is a credential.
var targetVar = providers.Var{Name: "TARGET_REDIS_URL",
	Value: "rediss://default:" + canary + "@managed:6379", From: "the URL of target.url"}

// Whatever goes wrong, a variable that is said to be set is set, and no other one has
// changed.
func TestAllConfigVarsAreSetAndRemovedAsTheySay(t *testing.T) {
	t.Parallel()
	for name, s := range varsSubjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSeed(t, func(r *rand.Rand) error { return s.exercise(t, r) })
		})
	}
}

func (s varsSubject) exercise(t *testing.T, r *rand.Rand) error {
	ctx := t.Context()
	c, w := s.open(t)
	tr := trial{w.Faults(), r, s.kinds, 0, func(error) bool { return false }}
	port := w.World()["PORT"]
	set := func(ctx context.Context) error {
		w.Person(targetVar.Name, targetVar.Value.Reveal())
		_, err := c.Set(ctx, targetVar)
		return err
	}
	remove := func(ctx context.Context) error {
		w.Person(targetVar.Name, "")
		_, err := c.Remove(ctx, targetVar.Name)
		return err
	}
	for _, p := range []struct {
		name, want string
		do         func(context.Context) error
	}{
		{"set", targetVar.Value.Reveal(), set}, {"again", targetVar.Value.Reveal(), set},
		{"drift", targetVar.Value.Reveal(), set}, {"remove", "", remove}, {"again", "", remove},
	} {
		if p.name == "drift" {
			w.Drift(targetVar.Name)
			if state, err := c.Look(ctx, targetVar); err != nil || state.Is == providers.VarAsIs {
				return fmt.Errorf("after a drift: %+v, %w", state, err)
			}
		}
		if err := tr.unsettled(ctx, p.do); err != nil {
			return fmt.Errorf("%s: %w\nfaults: %v", p.name, err, w.Faults().Seen())
		}
		if now := w.World(); now[targetVar.Name] != p.want || now["PORT"] != port {
			return fmt.Errorf("%s: it is set: %v, wanted set: %v; PORT is %s", p.name,
				now[targetVar.Name] != "", p.want != "", now["PORT"])
		}
		if err := s.looks(ctx, c, p.want != ""); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// looks: the variable is, or is not, as wanted, and no value is in what is said of it.
func (s varsSubject) looks(ctx context.Context, c providers.ConfigVars, set bool) error {
	state, err := c.Look(ctx, targetVar)
	if err != nil {
		return err
	}
	if (state.Is == providers.VarAsIs) != set {
		return fmt.Errorf("set %v, and it is %s", set, state.Is)
	}
	if text := fmt.Sprintf("%+v %+v", state, targetVar); strings.Contains(text, canary) {
		return errors.New("the value is in what is said of it")
	}
	return based("it", state.Basis, s.proof)
}

// varsAbilities are what can be done with variables: a test where it can, and one where
// it cannot.
var varsAbilities = map[string]struct {
	has           func(providers.VarsCan) bool
	with, without func(ctx context.Context, c providers.ConfigVars, w varsWorld) error
}{
	"Read": {func(v providers.VarsCan) bool { return v.Read }, readsVars, readsNone},
	"Set":  {func(v providers.VarsCan) bool { return v.Set }, setsVars, setsNone},
}

func TestAllConfigVarsDoWhatTheyCanAndRefuseTheRest(t *testing.T) {
	t.Parallel()
	everyAbility(t, providers.VarsCan{}, slices.Collect(maps.Keys(varsAbilities)))
	for name, s := range varsSubjects {
		for ability, a := range varsAbilities {
			t.Run(name+"/"+ability, func(t *testing.T) {
				t.Parallel()
				c, w := s.open(t)
				if can := c.About().Can; can != s.can {
					t.Fatalf("it says that it can %+v, declared is %+v", can, s.can)
				}
				test := a.without
				if a.has(s.can) {
					test = a.with
				}
				if err := test(t.Context(), c, w); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func readsVars(ctx context.Context, c providers.ConfigVars, w varsWorld) error {
	if state, err := c.Look(ctx, targetVar); err != nil || state.Is != providers.VarUnset {
		return fmt.Errorf("before: %+v, %w", state, err)
	}
	w.Drift(targetVar.Name)
	if state, err := c.Look(ctx, targetVar); err != nil || state.Is != providers.VarOther {
		return fmt.Errorf("set to another value: %+v, %w", state, err)
	}
	return nil
}

// readsNone: what cannot be read is not known, and not said to be unset.
func readsNone(ctx context.Context, c providers.ConfigVars, w varsWorld) error {
	for _, drift := range []bool{false, true} {
		if drift {
			w.Drift(targetVar.Name)
		}
		if state, err := c.Look(ctx, targetVar); err != nil || state.Is != providers.VarUnknown {
			return fmt.Errorf("%+v, %w", state, err)
		}
	}
	return nil
}

func setsVars(ctx context.Context, c providers.ConfigVars, w varsWorld) error {
	for i := range 2 {
		changed, err := c.Set(ctx, targetVar)
		if err != nil || changed != (i == 0) || w.World()[targetVar.Name] == "" {
			return fmt.Errorf("set %d: changed %v, %w", i, changed, err)
		}
	}
	for i := range 2 {
		changed, err := c.Remove(ctx, targetVar.Name)
		if err != nil || changed != (i == 0) || w.World()[targetVar.Name] != "" {
			return fmt.Errorf("remove %d: changed %v, %w", i, changed, err)
		}
	}
	return nil
}

// setsNone: the refusal says what to set and from where, and never the value.
func setsNone(ctx context.Context, c providers.ConfigVars, w varsWorld) error {
	before := w.World()
	_, err := c.Set(ctx, targetVar)
	if err := refused(err, providers.ErrByHand); err != nil {
		return err
	}
	for _, want := range []string{targetVar.Name, targetVar.From, c.About().App} {
		if !strings.Contains(err.Error(), want) {
			return fmt.Errorf("%q is not named: %w", want, err)
		}
	}
	if strings.Contains(err.Error(), canary) || !maps.Equal(w.World(), before) {
		return errors.New("the value is in the refusal, or something changed")
	}
	w.Person(targetVar.Name, targetVar.Value.Reveal())
	if changed, err := c.Set(ctx, targetVar); err != nil || changed {
		return fmt.Errorf("once a person has set it: changed %v, %w", changed, err)
	}
	_, err = c.Remove(ctx, targetVar.Name)
	return refused(err, providers.ErrByHand)
}

type herokuWorld struct{ api *providerstest.Heroku }

// running is a HerokuBackend that restarts nothing.
type running struct{}

func (running) ConfigChanged(context.Context, string, map[string]string) error { return nil }

func openHeroku(t *testing.T) (providers.ConfigVars, varsWorld) {
	api, err := providerstest.NewHeroku(providerstest.HerokuConfig{Token: canary,
		Backend: running{}, StatePath: filepath.Join(t.TempDir(), "h.json"),
		Apps: map[string]map[string]string{"shop": {"PORT": "0"}}})
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	return heroku.Vars{Client: heroku.New(srv.URL, canary, impatient()), App: "shop"},
		herokuWorld{api}
}

func (w herokuWorld) World() map[string]string {
	vars, _ := w.api.ConfigVars("shop")
	return vars
}

// Person does nothing: there is an API.
func (herokuWorld) Person(string, string) {}

func (w herokuWorld) Drift(name string) {
	body := strings.NewReader(`{"` + name + `":"rediss://elsewhere"}`)
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPatch, "/apps/shop/config-vars", body)
	r.Header.Set("Authorization", "Bearer "+canary)
	r.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	w.api.ServeHTTP(httptest.NewRecorder(), r)
}

func (w herokuWorld) Faults() *providerstest.Faults { return &w.api.Faults }

// appRoom is an app whose environment a person edits. It attests that it uses the target
// when the variable has the target's URL; with another one it reaches nothing.
type appRoom struct {
	faults providerstest.Faults
	mu     sync.Mutex
	vars   map[string]string
	late   func()
}

func openApp(*testing.T) (providers.ConfigVars, varsWorld) {
	w := &appRoom{vars: map[string]string{"PORT": "0"}}
	return byhand.Vars{App: "shop", Attests: w.attests}, w
}

func (w *appRoom) attests(_ context.Context, name string) (using, without []string, err error) {
	if w.faults.Take("ATTEST", name).Kind == providerstest.ErrorBefore {
		return nil, nil, errors.New("the fleet does not answer")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vars[name] == targetVar.Value.Reveal() {
		return []string{"web.1", "web.2"}, nil, nil
	}
	return nil, []string{"web.1", "web.2"}, nil
}

func (w *appRoom) World() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.vars)
}

func (w *appRoom) Person(name, value string) {
	kind := w.faults.Take("PERSON", name).Kind
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late != nil {
		w.late()
		w.late = nil
	}
	do := func() {
		if delete(w.vars, name); value != "" {
			w.vars[name] = value
		}
	}
	if kind == providerstest.Late {
		w.late = do
		return
	}
	do()
}

func (w *appRoom) Drift(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vars[name] = "rediss://elsewhere"
}

func (w *appRoom) Faults() *providerstest.Faults { return &w.faults }
