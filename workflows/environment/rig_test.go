package environment

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
)

const mid = "orders"

// rig is an environment over a store that knows one migration.
type rig struct {
	*Environment
	store *store.Store
	clk   *clock
}

// openRig opens an environment; what the configuration does not say reaches nothing.
func openRig(t testing.TB, cfg config.Config) *rig {
	t.Helper()
	cfg.DataDir = t.TempDir()
	for _, url := range []*string{&cfg.Ingestion.URL, &cfg.Linode.API} {
		*url = "http://127.0.0.1:1"
	}
	cfg.Ingestion.Token, cfg.Linode.Token = "ingestion-token", "linode-token"
	if cfg.Source.Standalone.URL == "" {
		cfg.Source.Standalone.URL = "redis://127.0.0.1:1"
	}
	st, err := store.Open(t.Context(), cfg.Database().Reveal())
	ok(t, err)
	t.Cleanup(func() { _ = st.Close() })
	clk, log := &clock{}, slog.New(slog.DiscardHandler)
	ok(t, st.CreateMigration(t.Context(), migration.Migration{ID: mid, Name: "Orders of the shop",
		EventDate: clk.now(), CreatedBy: "test", CreatedAt: clk.now()}))
	holder := flags.NewHolder(
		flags.Options{File: filepath.Join(cfg.DataDir, "flags.json"), Now: clk.now, Log: log},
	)
	e, err := Open(
		Options{
			Config: cfg,
			Store:  st,
			Flags:  holder,
			Fleet:  fleet.New(clk.now),
			Log:    log,
			Now:    clk.now,
			Notify: func(string) {},
		},
	)
	ok(t, err)
	t.Cleanup(e.Close)
	return &rig{e, st, clk}
}

// record keeps an observation as evidence.
func (r *rig) record(t *testing.T, check string, proof migration.Proof, facts any) {
	t.Helper()
	raw, err := json.Marshal(facts)
	ok(t, err)
	_, err = r.store.AddEvidence(
		t.Context(),
		mid,
		migration.Evidence{Check: check, Proof: proof, Facts: raw, Source: "test",
			ObservedAt: r.clk.now()},
	)
	ok(t, err)
}
