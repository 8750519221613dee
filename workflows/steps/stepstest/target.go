package stepstest

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/providers/providerstest"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Target makes a server the one database of a managed service and has the configuration name that
// service. Once an environment is open, the function it returns makes the database its target, as
// the step that provisions does.
//
// The service hands out addresses for TLS and with a password only. A server without TLS gets a
// second port with it, so that what speaks to it in the clear, as bullmqtest does, goes on.
func Target(
	t testing.TB,
	cfg *config.Config,
	srv *redistest.Server,
) func(*environment.Environment) {
	t.Helper()
	backend := oneDatabase{srv: srv, port: srv.Port}
	caFile := srv.CAFile
	if caFile == "" {
		backend.port, caFile = SecondPort(t, srv)
	}
	const email, apiKey = "ops@example.com", "upstash-CANARY"
	api, err := providerstest.NewUpstash(
		providerstest.UpstashConfig{Email: email, Key: apiKey, Backend: backend},
	)
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(api)
	t.Cleanup(service.Close)
	u := &cfg.Target.Upstash
	u.API, u.Email, u.APIKey, u.CAFile = service.URL+"/v2", email, apiKey, caFile
	u.DatabaseName = cmp.Or(u.DatabaseName, "orders")
	client := upstash.New(u.API, email, apiKey, service.Client())
	db, err := client.Create(t.Context(), upstash.CreateRequest{DatabaseName: u.DatabaseName,
		Platform: "aws", PrimaryRegion: "us-east-1", Plan: upstash.Fixed1GB, TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(e *environment.Environment) {
		t.Helper()
		if err := e.Servers.UseTarget(t.Context(), db.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// oneDatabase is a managed service that has one server to give.
type oneDatabase struct {
	srv  *redistest.Server
	port int
}

// CreateDatabase gives the server. Where it asks for no password, any will do.
func (o oneDatabase) CreateDatabase(
	context.Context, providerstest.UpstashSpec,
) (host string, port int, password string, err error) {
	return o.srv.Host, o.port, cmp.Or(o.srv.Password, "any"), nil
}

// DeleteDatabase leaves the server to the test.
func (o oneDatabase) DeleteDatabase(context.Context, string) error { return nil }

// Stats has nothing to tell.
func (o oneDatabase) Stats(context.Context, string) (providerstest.UpstashStats, error) {
	return providerstest.UpstashStats{}, nil
}

// SecondPort has a server listen for TLS too, until it is restarted, with the certificate that
// net/http/httptest has for loopback.
func SecondPort(t testing.TB, srv *redistest.Server) (port int, caFile string) {
	t.Helper()
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	caFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	err = errors.Join(os.WriteFile(caFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // a free port can be taken by somebody else before the server listens on it
		port = redistest.FreePort(t)
		err = srv.Client().Do(t.Context(), "CONFIG", "SET", "tls-cert-file", caFile,
			"tls-key-file", keyFile, "tls-ca-cert-file", caFile, "tls-auth-clients", "no",
			"tls-port", port).Err()
		if err == nil {
			return port, caFile
		}
	}
	t.Fatal(err)
	return 0, ""
}
