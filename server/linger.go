package server

import (
	"io"
	"net"
	"time"
)

// lingerFor and lingerBytes bound what is read from a client after the last answer on its connection.
const (
	lingerFor   = 2 * time.Second
	lingerBytes = 16 * bodyLimit
)

// lingering closes its connections as nginx's lingering_close does. A request that is refused before its body was read (413)
// leaves bytes unread, and closing such a socket sends a reset, which can reach the client before the answer has: it would see
// "connection reset" in place of why it was refused.
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

// Close ends our side at once and returns; the socket goes when the peer has closed too, or at the bounds.
func (c lingeringConn) Close() error {
	if c.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerFor)) != nil { // the peer has gone already
		return c.TCPConn.Close() //nolint:wrapcheck // a net.Conn passes its errors on
	}
	go func() {
		_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
		_ = c.TCPConn.Close()
	}()
	return nil
}
