package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
)

// Readers is what programs that read flags meet: the flags and keys as they are held in
// memory, and who holds what. It needs no database, so it serves before one answers and
// after one has died; Control feeds it.
type Readers struct {
	Flags *flags.Holder
	Fleet *fleet.Fleet
}

// NewReaders gives the last known good flags at once, from the data folder or else from the
// mirror. The mirror's address must be a Redis URL.
func NewReaders(cfg config.Config, log *slog.Logger) (Readers, error) {
	opt := flags.Options{File: filepath.Join(cfg.DataDir, "flags.json"), Log: log}
	if !cfg.FlagMirrorURL.IsZero() {
		c, err := redisconn.Open(
			redisconn.Endpoint{
				Name: "flag mirror",
				Kind: redisconn.Standalone,
				URL:  cfg.FlagMirrorURL,
			},
		)
		if err != nil {
			return Readers{}, migration.Errorf(migration.Invalid, "flag_mirror_url: %w", err)
		}
		opt.Mirror = mirror{c}
	}
	// without it the flags are in force all the same, only not saved
	_ = os.MkdirAll(cfg.DataDir, 0o700)
	worker := flags.Key{
		ID:   "worker-token",
		Name: "worker_token",
		Hash: sha256.Sum256([]byte(cfg.WorkerToken.Reveal())),
		Set:  MigrationID(cfg),
	}
	opt.Keys = []flags.Key{worker}
	return Readers{Flags: flags.NewHolder(opt), Fleet: fleet.New(time.Now)}, nil
}

// mirror keeps the last known good flags in one key of a Redis.
type mirror struct{ redis redis.UniversalClient }

const mirrorKey = "switchyard:flags"

// Load implements flags.Mirror.
func (m mirror) Load(ctx context.Context) ([]byte, error) {
	state, err := m.redis.Get(ctx, mirrorKey).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fs.ErrNotExist
	}
	return state, err
}

// Save implements flags.Mirror.
func (m mirror) Save(ctx context.Context, state []byte) error {
	return m.redis.Set(ctx, mirrorKey, state, 0).Err()
}

// refreshEvery is how often stored flags are looked at again without being told: for a
// notification that was lost.
const refreshEvery = time.Second

// feedReaders keeps what readers get in step with the database until ctx ends: at once
// where the database tells of a change, within refreshEvery where it does not. A database
// that does not answer leaves everything as it is; it then grows stale.
func (c *Control) feedReaders(ctx context.Context) {
	told := make(chan struct{}, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		err := c.store.Listen(ctx, func(topic string) {
			kind, id, _ := strings.Cut(topic, ":")
			if kind == "runs" {
				c.runChanged(ctx, id)
				return
			}
			if kind == "schedules" || kind == "" {
				c.wakeSchedules()
			}
			select {
			case told <- struct{}{}:
			default:
			}
		})
		if err != nil && ctx.Err() == nil {
			c.log.Error("changes of other replicas are noticed only by looking", "err", err)
		}
	})
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for ill := false; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-told:
		case <-ticker.C:
		}
		asked, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := c.serveReaders(asked)
		cancel()
		if (err != nil) != ill && ctx.Err() == nil { // once for each change
			if ill = err != nil; ill {
				c.log.Error(
					"the database does not tell the flags; the last known good ones stay in force",
					"err",
					err,
				)
			} else {
				c.log.Info("the database tells the flags again")
			}
		}
	}
	tasks.Wait()
}

// runChanged follows what another replica did to a run: the leader starts a queued one and
// interrupts a cancelled one.
func (c *Control) runChanged(ctx context.Context, id string) {
	run, err := c.store.Run(ctx, id)
	if err != nil {
		return // the next look, or the next leader, finds it
	}
	switch {
	case run.State == migration.RunQueued:
		c.engine.Start(id)
	case run.State.Open() && run.CancelledBy != "":
		c.engine.Cancel(id)
	}
	c.engine.Changed(id)
}

// shareFleet tells the other replicas, and the next start, which workers this one hears, and
// takes in what they have heard: a gate must count them all.
func (c *Control) shareFleet(ctx context.Context) {
	id := newToken()[:16]
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		err := c.share(ctx, id)
		if err != nil && ctx.Err() == nil {
			c.readers.Fleet.Blind("the database does not tell what other replicas hear")
			c.log.Warn("what other replicas' workers hold is not known", "err", err)
		}
		select {
		case <-ctx.Done():
			// What was heard here stays: who is not heard again is not gone.
			_ = c.share(context.WithoutCancel(ctx), id)
			return
		case <-ticker.C:
		}
	}
}

func (c *Control) share(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	heard, err := json.Marshal(c.readers.Fleet.Own())
	if err != nil {
		return err
	}
	mine := store.Replica{ID: id, At: c.now(), Client: redisconn.Self(), Heard: heard}
	if err := c.store.SaveReplica(ctx, mine); err != nil {
		return err
	}
	all, err := c.store.Replicas(ctx)
	if err != nil {
		return err
	}
	var peers []string
	for _, r := range all {
		if r.ID == id {
			continue
		}
		peers = append(peers, r.Client)
		var heard []fleet.Heard
		if err := json.Unmarshal(r.Heard, &heard); err != nil {
			return fmt.Errorf("workers of replica %s: %w", r.ID, err)
		}
		c.readers.Fleet.Merge(r.ID, heard, r.At)
	}
	redisconn.Peers(peers)
	c.readers.Fleet.Blind("")
	for _, silent := range c.readers.Fleet.Silent() {
		if err := c.store.DropReplica(ctx, silent); err != nil {
			return err
		}
		c.readers.Fleet.Forgotten(silent)
	}
	return nil
}

// serveReaders publishes what is stored: flag sets and keys.
func (c *Control) serveReaders(ctx context.Context) error {
	if err := c.serveKeys(ctx); err != nil {
		return err
	}
	return c.env.Routing.Serve(ctx)
}

func (c *Control) serveKeys(ctx context.Context) error {
	all, err := c.store.APIKeys(ctx)
	if err != nil {
		return err
	}
	var keys []flags.Key
	for _, k := range all {
		if k.RevokedAt == nil {
			keys = append(
				keys,
				flags.Key{
					ID:            k.ID,
					Name:          k.Name,
					Hash:          [sha256.Size]byte(k.Hash),
					Set:           k.Set,
					RatePerSecond: k.RatePerSecond,
				},
			)
		}
	}
	if err := c.readers.Flags.ReplaceKeys(keys); err != nil && !errors.Is(err, flags.ErrNotSaved) {
		return err
	}
	return nil
}
