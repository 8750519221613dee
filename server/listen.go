package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/switchyard-dev/switchyard/server/site"
)

// Serve answers requests until Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.app.Listener(lingering{ln}); err != nil {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown ends the event streams, lets running requests finish until ctx ends, and stops
// listening.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Live.Close() // first: an open stream never finishes by itself
	s.flags.Close()
	if err := s.app.ShutdownWithContext(ctx); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("shut down the server: %w", err)
	}
	return nil
}

// closeSilently closes a connection on which no whole request came in time, without an answer
// (RFC 9112, section 9.5). The client may be sending its first request at this moment: it would
// take a 408 for the answer, while a closed connection makes it try again.
func closeSilently(next func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(c *fasthttp.RequestCtx, err error) {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			_ = c.Conn().Close() // what is written from here on goes nowhere
			return
		}
		next(c, err)
	}
}

// lingerFor and lingerBytes bound what is read from a client after the last answer on its
// connection.
const (
	lingerFor   = 2 * time.Second
	lingerBytes = 16 * site.BodyLimit
)

// lingering closes its connections as nginx's lingering_close does. A request that is refused
// before its body was read (413) leaves bytes unread, and closing such a socket sends a reset,
// which can reach the client before the answer has: it would see "connection reset" in place of
// why it was refused.
type lingering struct{ net.Listener }

func (l lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller compares it
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		return lingeringConn{tcp}, nil
	}
	return c, nil
}

type lingeringConn struct{ *net.TCPConn }

// Close ends our side at once and returns; the socket goes when the peer has closed too, or at
// the bounds.
func (c lingeringConn) Close() error {
	if c.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return c.TCPConn.Close() //nolint:wrapcheck // the peer has gone already
	}
	go func() {
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
		_ = c.TCPConn.Close()
	}()
	return nil
}
