package server

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/server/servertest"
)

func TestAConnectionOnWhichNoWholeRequestComesIsClosedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	s.app.Server().ReadTimeout = 20 * time.Millisecond
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
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
