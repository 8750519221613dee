package environment

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/byhand"
)

func TestWhatNoStepUsesYetIsRefusedAndNotIgnored(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*config.Config){
		"target.url":                     func(c *config.Config) { c.Target.URL = "rediss://:CANARY@127.0.0.1:6380" },
		"source.machines: by-hand":       func(c *config.Config) { c.Source.Machines = byhand.Name },
		"ingestion.config_vars: by-hand": func(c *config.Config) { c.Ingestion.ConfigVars = byhand.Name },
	} {
		cfg := config.Default()
		change(&cfg)
		_, err := Open(Options{Config: cfg, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		if migration.KindOf(err) != migration.Invalid || !strings.Contains(err.Error(), key) ||
			strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
