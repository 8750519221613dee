package providerstest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/providers/byurl"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
)

// redisWorld is a stand-in for somebody's managed Redis: TLS, a password, and of commands
// what says how the server is. Every other command counts as a write, since nothing may
// change there.
type redisWorld struct {
	faults  providerstest.Faults
	address string
	mu      sync.Mutex
	gone    bool
	evicts  bool
	written int
}

func openURL(t *testing.T) (providers.Managed, managedWorld) {
	inner := httptest.NewUnstartedServer(nil) // for its certificate, which is of 127.0.0.1
	inner.StartTLS()
	t.Cleanup(inner.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: inner.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Error(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: inner.TLS.Certificates, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	t.Cleanup(func() { _ = l.Close() })
	w := &redisWorld{address: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	price, limit, none := 20.0, int64(1<<30), int64(0)
	return byurl.Open(byurl.Settings{
		URL:    migration.Secret("rediss://default:" + canary + "@" + w.address),
		CAFile: ca,
		Plan: byurl.Plan{
			Title:                "Fixed 1 GB",
			Region:               "us-east-1",
			MonthlyUSD:           &price,
			MaxBytes:             &limit,
			MaxConnections:       &none,
			MaxCommandsPerSecond: &none,
			MaxRequestBytes:      &none,
			MaxRecordBytes:       &none,
			BandwidthBytes:       &none,
		},
	}), w
}

func (w *redisWorld) World() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return map[string]string{}
	}
	return map[string]string{w.address: fmt.Sprintf("eviction=%v written=%d", w.evicts, w.written)}
}

func (w *redisWorld) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *redisWorld) Drift()                        { w.set(func() { w.evicts = true }) }
func (w *redisWorld) Mend()                         { w.set(func() { w.evicts = false }) }
func (w *redisWorld) Vanish()                       { w.set(func() { w.gone = true }) }
func (w *redisWorld) Faults() *providerstest.Faults { return &w.faults }

// serve answers one connection, or does not, as its fault wants.
func (w *redisWorld) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a client without a timeout
	var gone bool
	w.set(func() { gone = w.gone })
	fault := w.faults.Take("CONNECT", w.address).Kind
	if gone || fault == providerstest.CutBefore || fault == providerstest.Late {
		return
	}
	in := bufio.NewReader(conn)
	for {
		args, err := command(in)
		if err != nil {
			return
		}
		answer := w.answer(args)
		switch fault {
		case providerstest.Throttled:
			answer = "-ERR max number of clients reached\r\n"
		case providerstest.ErrorBefore, providerstest.ErrorAfter:
			answer = "-LOADING Redis is loading the dataset in memory\r\n"
		case providerstest.BadGateway:
			answer = "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>Bad gateway</html>"
		case providerstest.Truncated:
			answer = answer[:len(answer)/2]
		case providerstest.CutAfter:
			return
		case providerstest.Silent:
			_, _ = io.Copy(io.Discard, in) // until the client leaves
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil || fault == providerstest.Truncated {
			return
		}
	}
}

// answer is what the server says without a fault.
func (w *redisWorld) answer(args []string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch strings.ToLower(args[0]) {
	case "hello", "auth":
		if !strings.Contains(strings.Join(args, " "), canary) {
			return "-WRONGPASS invalid username-password pair\r\n"
		}
		return "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
	case "client", "ping":
		return "+OK\r\n"
	case "info":
		policy := map[bool]string{true: "allkeys-lru", false: "noeviction"}[w.evicts]
		text := "redis_version:7.4.0\r\nloading:0\r\nrole:master\r\nmaxclients:10000\r\n" +
			"maxmemory:1073741824\r\nmaxmemory_policy:" + policy + "\r\n"
		return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
	}
	w.written++
	return "+OK\r\n"
}

// command reads one command as clients send it: an array of bulk strings.
func command(in *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		args[i] = string(text[:size])
	}
	if n == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return args, nil
}
