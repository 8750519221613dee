package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flagsync"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/server"
	"github.com/switchyard-dev/switchyard/server/tracing"
	"github.com/switchyard-dev/switchyard/workflows"
)

type serveCmd struct {
	Config string `help:"Configuration file (YAML). See docs/configuration.md." type:"path" placeholder:"FILE"`
}

// Run serves until the context ends, then drains.
func (c serveCmd) Run(s *surroundings) error {
	cfg, err := config.Load(c.Config, s.getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.stderr, nil))
	redisconn.LogTo(log)
	readers, err := workflows.NewReaders(cfg, log)
	if err != nil {
		return err
	}
	shutTracing, err := tracing.Setup(s.ctx, version, s.getenv)
	if err != nil {
		return err
	}
	var sync *flagsync.Server
	if cfg.SyncAddr != "off" {
		if sync, err = flagsync.New(flagsync.Options{Addr: cfg.SyncAddr, CertFile: cfg.SyncTLS.CertFile, KeyFile: cfg.SyncTLS.KeyFile, Flags: readers.Flags, Fleet: readers.Fleet}); err != nil {
			return err
		}
	}
	// A database that does not answer keeps nobody from the flags; whatever else is wrong with it, waiting would not cure.
	control, err := workflows.Open(s.ctx, cfg, readers, log)
	if err != nil && migration.KindOf(err) != migration.Unavailable {
		return errors.Join(err, readers.Flags.Close())
	}
	srv := server.New(server.Options{Control: control, Readers: readers, Addr: cfg.Addr, Log: log, Version: version, TrustedProxies: cfg.TrustedProxies, SecureCookies: cfg.SecureCookies,
		CORSOrigins: cfg.CORSOrigins, StreamSecret: cfg.WorkerToken})
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	ends := make(chan error, 3)
	go func() { ends <- srv.Listen(ctx) }()
	if sync != nil {
		go func() { ends <- listenSync(ctx, sync) }()
	}
	controls := make(chan *workflows.Control, 1)
	go func() {
		c, err := awaitControl(ctx, control, cfg, readers, log)
		if c != nil {
			for _, u := range c.NewAccounts() {
				_, _ = fmt.Fprintf(s.stderr, "first run: account %s (%s), password %s - shown only this once\n", u.Name, u.Role, u.Password.Reveal())
			}
			if control == nil {
				srv.SetControl(c)
			}
		} else if err != nil {
			ends <- err
		}
		controls <- c
	}()
	log.Info("serving", "addr", cfg.Addr, "sync_addr", cfg.SyncAddr, "version", version)
	select {
	case err = <-ends:
	case <-s.ctx.Done():
		err = nil
	}
	stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	if sync != nil {
		sync.Stop(drain)
	}
	err = errors.Join(err, srv.Shutdown(drain))
	if c := <-controls; c != nil {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, readers.Flags.Close(), shutTracing(drain))
}

func listenSync(ctx context.Context, s *flagsync.Server) error {
	ln, err := s.Bind(ctx)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// awaitControl gives the control that is there, or opens it as soon as the database answers: flags are served meanwhile.
func awaitControl(ctx context.Context, control *workflows.Control, cfg config.Config, readers workflows.Readers, log *slog.Logger) (*workflows.Control, error) {
	if control != nil {
		return control, nil
	}
	log.Error("the database does not answer; flags are served as last known, everything else waits for it")
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(time.Second):
		}
		switch control, err := workflows.Open(ctx, cfg, readers, log); {
		case err == nil:
			log.Info("the database answers")
			return control, nil
		case migration.KindOf(err) != migration.Unavailable && ctx.Err() == nil:
			return nil, err
		}
	}
}

type planCmd struct {
	Check planCheckCmd `cmd:"" help:"Check a plan file and name every mistake in it."`
	Show  planShowCmd  `cmd:"" help:"Print the embedded plan, to start your own from."`
}

type planCheckCmd struct {
	File string `arg:"" help:"Plan file (YAML)." type:"path"`
}

// Run checks a plan.
func (c planCheckCmd) Run(s *surroundings) error {
	p, err := plan.Read(c.File, workflows.StepIDs())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s: %d criteria, %d steps, %d milestones: no mistake found\n", p.Name, len(p.Criteria), len(p.Steps), len(p.Milestones))
	return err
}

type planShowCmd struct{}

// Run prints the embedded plan.
func (planShowCmd) Run(s *surroundings) error {
	_, err := s.stdout.Write(plan.Initiative())
	return err
}
