package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/plan"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/server"
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
	control, err := workflows.Open(s.ctx, cfg, readers, log)
	if err != nil {
		return err
	}
	for _, u := range control.NewAccounts() {
		_, _ = fmt.Fprintf(s.stderr, "first run: account %s (%s), password %s - shown only this once\n", u.Name, u.Role, u.Password.Reveal())
	}
	srv := server.New(server.Options{Control: control, Readers: readers, Addr: cfg.Addr, Log: log, Version: version, TrustedProxies: cfg.TrustedProxies, SecureCookies: cfg.SecureCookies})
	serving := make(chan error, 1)
	go func() { serving <- srv.Listen(s.ctx) }()
	log.Info("serving", "addr", cfg.Addr, "version", version)
	select {
	case err = <-serving:
	case <-s.ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
		defer cancel()
		err = srv.Shutdown(drain)
	}
	return errors.Join(err, control.Close())
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
