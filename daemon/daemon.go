// Package daemon is the process behind `switchyard serve`: it opens what the configuration
// names, serves the pages, the API and the flags, and ends in order. It decides nothing about
// a migration.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/flagsync"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/server"
	"github.com/switchyard-dev/switchyard/server/tracing"
	"github.com/switchyard-dev/switchyard/workflows"
)

// drainTime is how long requests under way may take once the process is asked to end.
const drainTime = 10 * time.Second

// Options are what a process is started with.
type Options struct {
	Config  config.Config
	Version string
	Getenv  func(string) string // for the exporter of traces, which has variables of its own
	Log     *slog.Logger
	// Created is called with each account that was made with a random password, which is shown
	// only this once.
	Created func(config.User)
}

// process is what runs between start and end.
type process struct {
	Options
	pages, stream net.Listener // stream is nil where sync_addr is off
	readers       workflows.Readers
	sync          *flagsync.Server // nil: whole flag sets are not served
	server        *server.Server
	control       *workflows.Control // nil: the database did not answer at the start
	// endTracing sends the traces that are left.
	endTracing func(context.Context) error
}

// Run serves until the context ends or a listener fails, then drains.
func Run(ctx context.Context, o Options) error {
	redisconn.LogTo(o.Log)
	p := process{Options: o}
	// Before anything is made: accounts whose passwords are shown once, by a process that then
	// cannot serve, would be lost.
	var err error
	if err = p.listen(ctx); err != nil {
		return err
	}
	defer p.close()
	if p.readers, err = workflows.NewReaders(o.Config, o.Log); err != nil {
		return err
	}
	if p.endTracing, err = tracing.Setup(ctx, o.Version, o.Getenv); err != nil {
		return err
	}
	if p.sync, err = openSync(o.Config, p.readers); err != nil {
		return err
	}
	// A database that does not answer keeps nobody from the flags. Waiting cures no other error.
	p.control, err = workflows.Open(ctx, o.Config, p.readers, o.Log)
	if err != nil && migration.KindOf(err) != migration.Unavailable {
		return errors.Join(err, p.readers.Flags.Close())
	}
	p.server = server.New(server.Options{
		Control: p.control, Readers: p.readers, Log: o.Log, Version: o.Version,
		TrustedProxies: o.Config.TrustedProxies, SecureCookies: o.Config.SecureCookies,
		CORSOrigins: o.Config.CORSOrigins, StreamSecret: o.Config.WorkerToken,
	})
	return p.serve(ctx)
}

// openSync gives the server of whole flag sets; nil where the configuration turns it off.
func openSync(c config.Config, readers workflows.Readers) (*flagsync.Server, error) {
	if c.SyncAddr == "off" {
		return nil, nil //nolint:nilnil // switched off is no error
	}
	return flagsync.New(flagsync.Options{
		CertFile: c.SyncTLS.CertFile, KeyFile: c.SyncTLS.KeyFile,
		Flags: readers.Flags, Fleet: readers.Fleet,
	})
}

// serve runs the listeners until one fails or the context ends, then drains and closes all.
func (p *process) serve(outer context.Context) error {
	ctx, stop := context.WithCancel(outer)
	defer stop()
	ends := make(chan error, 3)
	go func() { ends <- p.server.Serve(p.pages) }()
	if p.sync != nil {
		go func() { ends <- p.sync.Serve(p.stream) }()
	}
	controls := make(chan *workflows.Control, 1)
	go func() {
		c, err := p.takeControl(ctx)
		if err != nil {
			ends <- err
		}
		controls <- c
	}()
	p.Log.Info("serving",
		"addr", p.Config.Addr, "sync_addr", p.Config.SyncAddr, "version", p.Version)
	var err error
	select {
	case err = <-ends:
	case <-outer.Done():
	}
	stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(outer), drainTime)
	defer cancel()
	if p.sync != nil {
		p.sync.Stop(drain)
	}
	err = errors.Join(err, p.server.Shutdown(drain))
	if c := <-controls; c != nil {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, p.readers.Flags.Close(), p.endTracing(drain))
}

// takeControl gives the server its control once there is one, and reports new accounts. It
// returns nil when the context ends before.
func (p *process) takeControl(ctx context.Context) (*workflows.Control, error) {
	c := p.control
	if c == nil {
		var err error
		if c, err = p.awaitControl(ctx); c == nil {
			return nil, err
		}
	}
	for _, u := range c.NewAccounts() {
		p.Created(u)
	}
	if p.control == nil {
		p.server.SetControl(c)
	}
	return c, nil
}

// awaitControl opens the control as soon as the database answers. Flags are served meanwhile.
func (p *process) awaitControl(ctx context.Context) (*workflows.Control, error) {
	p.Log.Error("the database does not answer; flags are served as last known, " +
		"everything else waits for it")
	for {
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // nobody waits for it any more
		case <-time.After(time.Second):
		}
		switch control, err := workflows.Open(ctx, p.Config, p.readers, p.Log); {
		case err == nil:
			p.Log.Info("the database answers")
			return control, nil
		case migration.KindOf(err) != migration.Unavailable && ctx.Err() == nil:
			return nil, err
		}
	}
}
