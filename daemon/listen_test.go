package daemon

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
)

func TestBindWaitsForAPredecessorThatStillHoldsThePort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	held, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trying := make(chan error, 1)
	go func() {
		ln, err := bind(t.Context(), "addr", "ADDR", held.Addr().String())
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

// Whoever cannot serve makes nothing: no database, and no accounts whose passwords are shown once.
func TestAnAddressThatIsTakenIsToldBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	held, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	for key, change := range map[string]func(c *config.Config){
		"addr":      func(c *config.Config) { c.Addr = held.Addr().String() },
		"sync_addr": func(c *config.Config) { c.SyncAddr = held.Addr().String() },
	} {
		c := config.Default()
		c.Addr, c.SyncAddr, c.DataDir = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(t.TempDir(), "data")
		c.Source.Standalone.URL, c.WorkerToken = "redis://127.0.0.1:1", "token"
		change(&c)
		err := Run(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler),
			Getenv:  func(string) string { return "" },
			Created: func(u config.User) { t.Errorf("%s: account %s was made", key, u.Name) }})
		if migration.KindOf(err) != migration.Invalid || !strings.HasPrefix(err.Error(),
			key+": another program listens on "+held.Addr().String()) {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := os.Stat(c.DataDir); !os.IsNotExist(err) {
			t.Errorf("%s: the data directory was made: %v", key, err)
		}
	}
}
