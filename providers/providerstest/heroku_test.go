package providerstest_test

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/heroku"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// dynos is a HerokuBackend that records the restarts.
type dynos struct {
	restarts []map[string]string
	fail     error
}

func (d *dynos) ConfigChanged(_ context.Context, _ string, vars map[string]string) error {
	if d.fail != nil {
		return d.fail
	}
	d.restarts = append(d.restarts, vars)
	return nil
}

func newHeroku(t *testing.T) (*heroku.Client, *dynos, providerstest.HerokuConfig, *providerstest.Heroku, string) {
	t.Helper()
	backend := &dynos{}
	cfg := providerstest.HerokuConfig{Token: key, Backend: backend, StatePath: filepath.Join(t.TempDir(), "heroku.json"),
		Apps: map[string]map[string]string{"shop": {"PORT": "0", "SOURCE_REDIS_URL": "redis://:pw@127.0.0.1:6379"}}}
	api, err := providerstest.NewHeroku(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	return heroku.New(srv.URL, key, srv.Client()), backend, cfg, api, srv.URL
}

func secret(s string) *migration.Secret { v := migration.Secret(s); return &v }

func TestHerokuSetAndDelete(t *testing.T) {
	t.Parallel()
	client, backend, cfg, api, _ := newHeroku(t)
	ctx := t.Context()
	set := map[string]*migration.Secret{"TARGET_REDIS_URL": secret("rediss://default:new@127.0.0.1:6390"), "PORT": nil, "ABSENT": nil}
	changed, err := client.SetConfigVars(ctx, "shop", set)
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	want := map[string]string{"SOURCE_REDIS_URL": "redis://:pw@127.0.0.1:6379", "TARGET_REDIS_URL": "rediss://default:new@127.0.0.1:6390"}
	if len(backend.restarts) != 1 || !maps.Equal(backend.restarts[0], want) {
		t.Errorf("restarts %v", backend.restarts)
	}
	if changed, err := client.SetConfigVars(ctx, "shop", set); changed || err != nil || len(backend.restarts) != 1 {
		t.Errorf("setting the same again restarted the app: %v, %v", changed, err)
	}
	vars, err := client.ConfigVars(ctx, "shop")
	if err != nil || len(vars) != 2 || vars["TARGET_REDIS_URL"].Reveal() != want["TARGET_REDIS_URL"] {
		t.Errorf("vars %v, %v", vars, err)
	}
	again, err := providerstest.NewHeroku(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := again.ConfigVars("shop"); !ok || !maps.Equal(got, want) {
		t.Errorf("after a restart: %v", got)
	}
	if _, ok := api.ConfigVars("none"); ok {
		t.Error("an unknown app has config vars")
	}
}

func TestHerokuErrors(t *testing.T) {
	t.Parallel()
	client, backend, _, api, base := newHeroku(t)
	ctx := t.Context()
	if err := second(client.ConfigVars(ctx, "other")); httpapi.Status(err) != 404 {
		t.Errorf("unknown app: %v", err)
	}
	if err := second(heroku.New(base, "wrong-7c1", nil).ConfigVars(ctx, "shop")); httpapi.Status(err) != 401 || strings.Contains(err.Error(), "wrong-7c1") {
		t.Errorf("wrong token: %v", err)
	}
	if err := second(client.SetConfigVars(ctx, "shop", map[string]*migration.Secret{"NOT OK": secret("x")})); httpapi.Status(err) != 422 {
		t.Errorf("bad name: %v", err)
	}
	if err := second(client.ConfigVars(ctx, "")); migration.KindOf(err) != migration.Invalid {
		t.Errorf("no app: %v", err)
	}
	plain := httpapi.Client{API: "heroku", Base: base, Key: key}
	if err := plain.Do(ctx, "GET", "/apps/shop/config-vars", nil, nil); httpapi.Status(err) != 406 {
		t.Errorf("without the version in Accept: %v", err)
	}
	plain.Header = map[string][]string{"Accept": {"application/vnd.heroku+json; version=3"}}
	for _, body := range []any{map[string]int{"PORT": 1}, []string{"x"}, nil} {
		if err := plain.Do(ctx, "PATCH", "/apps/shop/config-vars", body, nil); httpapi.Status(err) != 422 && httpapi.Status(err) != 400 {
			t.Errorf("body %v: %v", body, err)
		}
	}
	api.Limit(1, 0)
	if err := second(client.ConfigVars(ctx, "shop")); err != nil {
		t.Errorf("one 429 is not outlasted: %v", err)
	}
	if len(backend.restarts) != 0 {
		t.Errorf("refused requests restarted the app %d times", len(backend.restarts))
	}
}

func TestHerokuChangeWithoutRestartIsTakenBack(t *testing.T) {
	t.Parallel()
	client, backend, _, _, _ := newHeroku(t)
	set := map[string]*migration.Secret{"TARGET_REDIS_URL": secret("rediss://default:new@127.0.0.1:6390")}
	backend.fail = errors.New("no dyno left")
	if err := second(client.SetConfigVars(t.Context(), "shop", set)); httpapi.Status(err) != 500 {
		t.Errorf("got %v", err)
	}
	backend.fail = nil
	if changed, err := client.SetConfigVars(t.Context(), "shop", set); err != nil || !changed || len(backend.restarts) != 1 {
		t.Errorf("the second attempt: changed %v, %v", changed, err)
	}
}
