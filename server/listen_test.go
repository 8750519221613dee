package server

import (
	"net"
	"testing"
)

func TestBindWaitsForAPredecessorThatStillHoldsThePort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	held, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{opt: Options{Addr: held.Addr().String()}}
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
