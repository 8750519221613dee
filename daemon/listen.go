package daemon

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// bindTries and bindWait: a predecessor that was just killed may still hold the port for a moment.
const (
	bindTries = 10
	bindWait  = 200 * time.Millisecond
)

// listen takes the addresses of the configuration.
func (p *process) listen(ctx context.Context) (err error) {
	if p.pages, err = bind(ctx, "addr", "SWITCHYARD_ADDR", p.Config.Addr); err != nil {
		return err
	}
	if p.Config.SyncAddr == "off" {
		return nil
	}
	p.stream, err = bind(ctx, "sync_addr", "SWITCHYARD_SYNC_ADDR", p.Config.SyncAddr)
	if err != nil {
		p.close()
	}
	return err
}

// close gives the addresses back; a listener that was served is closed already.
func (p *process) close() {
	for _, ln := range []net.Listener{p.pages, p.stream} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// bind listens on an address that a key of the configuration, or a variable, gives. Invalid: it is
// none, or none of this machine, or another program has it.
func bind(ctx context.Context, key, variable, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	for try := 1; ; try++ {
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err == nil {
			return ln, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, migration.Errorf(migration.Invalid, "%s: %w", key, err)
		}
		if try == bindTries {
			return nil, migration.Errorf(migration.Invalid, "%s: another program listens on %s: "+
				"end it, or give another address here or in %s", key, addr, variable)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(bindWait):
		}
	}
}
