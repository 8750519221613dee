package server

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestBindWaitsForAPredecessorThatStillHoldsThePort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	held, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{addr: held.Addr().String()}
	trying := make(chan error, 1)
	go func() {
		ln, err := s.Bind(t.Context())
		if err == nil {
			err = ln.Close()
		}
		trying <- err
	}()
	select {
	case err := <-trying:
		t.Fatalf("bound while the port was held: %v", err)
	default:
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-trying; err != nil {
		t.Error(err)
	}
}

func TestAConnectionOnWhichNoWholeRequestComesIsClosedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := New(Options{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	s.app.Server().ReadTimeout = 20 * time.Millisecond
	ln, err := s.Bind(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	defer func() { _ = s.Shutdown(t.Context()) }()
	for _, sent := range []string{"", "POST /ofrep", "POST /ofrep/v1/evaluate/flags " +
		"HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"} {
		conn := servertest.Dial(t, ln.Addr().String())
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("after %q: %q, %v", sent, got, err)
		}
	}
}
