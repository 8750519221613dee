package keycopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/switchyard-dev/switchyard/redisconn"
)

type differing = redisconn.Difference

// proxy forwards connections, and cuts one off.
type proxy struct {
	addr string

	mu    sync.Mutex
	after []byte // the connection that sends this
	left  int64  // is cut after receiving so many bytes
	cut   bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c, to)
		}
	}()
	return p
}

// arm cuts the next connection that sends a command, once it has received so many
// bytes. The function returned reports whether that happened.
func (p *proxy) arm(command string, left int64) (cut func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after, p.left, p.cut = []byte(command), left, false
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.cut
	}
}

func (p *proxy) serve(c net.Conn, to string) {
	defer c.Close()
	s, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	var mu sync.Mutex
	marked := false
	go func() {
		defer s.Close()
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			mu.Lock()
			marked = marked || len(p.after) > 0 && bytes.Contains(buf[:n], p.after)
			mu.Unlock()
			p.mu.Unlock()
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, err := s.Read(buf)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return
		}
		mu.Lock()
		isMarked := marked
		mu.Unlock()
		if isMarked {
			p.mu.Lock()
			if int64(n) >= p.left {
				n = int(p.left)
				p.cut = true
				_, _ = c.Write(buf[:n])
				p.mu.Unlock()
				return
			}
			p.left -= int64(n)
			p.mu.Unlock()
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
