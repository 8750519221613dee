package flagsync_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"buf.build/gen/go/open-feature/flagd/grpc/go/flagd/sync/v1/syncv1grpc"
	syncv1 "buf.build/gen/go/open-feature/flagd/protocolbuffers/go/flagd/sync/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/flagsync"
	"github.com/switchyard-dev/switchyard/fleet"
)

// served is a server on loopback that serves set 1 to the token "good".
type served struct {
	*flagsync.Server
	flags *flags.Holder
	fleet *fleet.Fleet
	addr  string
}

func serve(t *testing.T, opt flagsync.Options) served {
	t.Helper()
	opt.Flags, opt.Fleet = flags.NewHolder(flags.Options{}),
		fleet.New(time.Now)
	must(t, opt.Flags.ReplaceKeys(
		[]flags.Key{{ID: "1", Name: "k", Set: "s", Hash: sha256.Sum256([]byte("good"))}}))
	must(t, opt.Flags.Replace(set(1)))
	s, err := flagsync.New(opt)
	must(t, err)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		s.Stop(now)
		<-ended //nolint:errcheck // how it ends is another test
	})
	return served{s, opt.Flags, opt.Fleet, ln.Addr().String()}
}

func (s served) dial(
	t *testing.T, creds credentials.TransportCredentials,
) syncv1grpc.FlagSyncServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(creds))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return syncv1grpc.NewFlagSyncServiceClient(conn)
}

type stream = grpc.ServerStreamingClient[syncv1.SyncFlagsResponse]

func open(t *testing.T, ctx context.Context, c syncv1grpc.FlagSyncServiceClient) stream {
	t.Helper()
	st, err := c.SyncFlags(ctx, &syncv1.SyncFlagsRequest{Selector: "apiKey=good"})
	must(t, err)
	return st
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestARevokedKeyEndsItsOpenStreamUnauthenticated(t *testing.T) {
	t.Parallel()
	s := serve(t, flagsync.Options{})
	st := open(t, within(t), s.dial(t, insecure.NewCredentials()))
	_, err := st.Recv()
	must(t, err)
	must(t, s.flags.ReplaceKeys(nil))
	if _, err := st.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestASelectorOfAnotherSetIsRefusedAndTheOwnIsFine(t *testing.T) {
	t.Parallel()
	s := serve(t, flagsync.Options{})
	c := s.dial(t, insecure.NewCredentials())
	ctx := metadata.AppendToOutgoingContext(within(t), "authorization", "Bearer good")
	for selector, want := range map[string]codes.Code{"": codes.OK, "s": codes.OK,
		"flagSetId=s": codes.OK, "flagSetId=other": codes.PermissionDenied} {
		_, err := c.FetchAllFlags(ctx, &syncv1.FetchAllFlagsRequest{Selector: selector})
		if status.Code(err) != want ||
			want != codes.OK && !strings.Contains(err.Error(), "names another flag set") {
			t.Errorf("fetch with selector %q: %v, want %v", selector, err, want)
		}
		st, err := c.SyncFlags(ctx, &syncv1.SyncFlagsRequest{Selector: selector})
		must(t, err)
		if _, err := st.Recv(); status.Code(err) != want {
			t.Errorf("stream with selector %q: %v, want %v", selector, err, want)
		}
	}
}

func TestAThousandStreamsEndUpWithTheSetInForce(t *testing.T) {
	t.Parallel()
	const connections, each, last = 4, 250, 20
	s := serve(t, flagsync.Options{})
	ctx := within(t)
	var readers, begun sync.WaitGroup
	for range connections {
		c := s.dial(t, insecure.NewCredentials())
		for range each {
			st := open(t, ctx, c)
			begun.Add(1)
			readers.Go(func() {
				started := sync.OnceFunc(begun.Done)
				defer started()
				for got, want := "", string(set(last).Definition); got != want; started() {
					m, err := st.Recv()
					if err != nil {
						t.Errorf("after %s: %v", got, err)
						return
					}
					got = m.GetFlagConfiguration()
				}
			})
		}
	}
	begun.Wait()
	for revision := int64(2); revision <= last; revision++ {
		must(t, s.flags.Replace(set(revision)))
	}
	readers.Wait()
}

func TestNamesThatAreTooLongOrNotPrintableCountAsAbsent(t *testing.T) {
	t.Parallel()
	s := serve(t, flagsync.Options{})
	c := s.dial(t, insecure.NewCredentials())
	ctx := metadata.AppendToOutgoingContext(within(t), "x-worker-service",
		strings.Repeat("x", 201), "x-worker-version", strings.Repeat("v", 200))
	st, err := c.SyncFlags(ctx, &syncv1.SyncFlagsRequest{Selector: "apiKey=good",
		ProviderId: strings.Repeat("x", 199) + "é"})
	must(t, err)
	_, err = st.Recv()
	must(t, err)
	for _, w := range s.fleet.Own() {
		if w.Service != "" || w.Instance != "" || w.Version != strings.Repeat("v", 200) {
			t.Errorf("the worker is named %q %q %q", w.Service, w.Instance, w.Version)
		}
	}
	if n := len(s.fleet.Own()); n != 1 {
		t.Errorf("%d workers are known", n)
	}
}

func TestOversizedMetadataIsRefusedWithTheLimit(t *testing.T) {
	t.Parallel()
	s := serve(t, flagsync.Options{})
	c := s.dial(t, insecure.NewCredentials())
	open(t, within(t), c) // the connection knows the server's settings
	ctx := metadata.AppendToOutgoingContext(within(t), "x-worker-service",
		strings.Repeat("x", 32<<10))
	_, err := c.FetchAllFlags(ctx, &syncv1.FetchAllFlagsRequest{Selector: "apiKey=good"})
	if err == nil || !strings.Contains(err.Error(), "16384") {
		t.Errorf("got %v, want the limit in it", err)
	}
}

func TestAReaderThatNeverReadsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, flagsync.Options{})
	ctx := within(t)
	open(t, ctx, s.dial(t, insecure.NewCredentials()))
	st := open(t, ctx, s.dial(t, insecure.NewCredentials()))
	_, err := st.Recv()
	must(t, err)
	// far more than a connection's window
	for revision := int64(2); revision <= 40; revision++ {
		big := set(revision)
		big.Definition = fmt.Appendf(nil,
			`{"flags":{},"metadata":{"flagSetRevision":%d,"note":"%s"}}`, revision,
			strings.Repeat("x", 1<<20))
		must(t, s.flags.Replace(big))
		if m, err := st.Recv(); err != nil ||
			m.GetFlagConfiguration() != string(big.Definition) {
			t.Fatalf("revision %d: %v", revision, err)
		}
	}
}

func TestWithACertificateTrustingClientsAreServedAndPlainTextIsRefused(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	s := serve(t, flagsync.Options{CertFile: cert, KeyFile: key})
	trusting, err := credentials.NewClientTLSFromFile(cert, "")
	must(t, err)
	ctx := metadata.AppendToOutgoingContext(within(t), "x-api-key", "good")
	_, err = s.dial(t, trusting).FetchAllFlags(ctx, &syncv1.FetchAllFlagsRequest{})
	must(t, err)
	for name, creds := range map[string]credentials.TransportCredentials{"plain text": insecure.NewCredentials(), "a client without the certificate": credentials.NewTLS(nil)} {
		if _, err := s.dial(t, creds).FetchAllFlags(ctx,
			&syncv1.FetchAllFlagsRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(certFile,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	must(t, os.WriteFile(keyFile,
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}
