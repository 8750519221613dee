package workflows

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
)

// Readers is what programs that read flags meet: the flags and keys as they are held in memory, and who holds what. It needs no database,
// so it serves before one answers and after one has died; Control feeds it.
type Readers struct {
	Flags *flags.Holder
	Fleet *fleet.Fleet
}

// NewReaders gives the last known good flags at once.
func NewReaders(cfg config.Config, log *slog.Logger) Readers {
	_ = os.MkdirAll(cfg.DataDir, 0o700) // without it the flags are in force all the same, only not saved
	worker := flags.Key{ID: "worker-token", Name: "worker_token", Hash: sha256.Sum256([]byte(cfg.WorkerToken.Reveal())), Set: MigrationID(cfg)}
	return Readers{
		Flags: flags.NewHolder(flags.Options{File: filepath.Join(cfg.DataDir, "flags.json"), Keys: []flags.Key{worker}, Log: log}),
		Fleet: fleet.New(time.Now),
	}
}

// serveReaders publishes what is stored: flag sets and keys.
func (c *Control) serveReaders(ctx context.Context) error {
	if err := c.serveKeys(ctx); err != nil {
		return err
	}
	return c.estate.serveFlags(ctx)
}

func (c *Control) serveKeys(ctx context.Context) error {
	all, err := c.store.APIKeys(ctx)
	if err != nil {
		return err
	}
	var keys []flags.Key
	for _, k := range all {
		if k.RevokedAt == nil {
			keys = append(keys, flags.Key{ID: k.ID, Name: k.Name, Hash: [sha256.Size]byte(k.Hash), Set: k.Set, RatePerSecond: k.RatePerSecond})
		}
	}
	if err := c.readers.Flags.ReplaceKeys(keys); err != nil && !errors.Is(err, flags.ErrNotSaved) {
		return err
	}
	return nil
}
