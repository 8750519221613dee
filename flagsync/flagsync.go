// Package flagsync serves whole flag sets over gRPC (flagd.sync.v1) to workers that
// evaluate by themselves. It reads only what is in memory, so it goes on without a
// database. It never ends a stream with OK: a client that sees OK never reconnects.
package flagsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"buf.build/gen/go/open-feature/flagd/grpc/go/flagd/sync/v1/syncv1grpc"
	syncv1 "buf.build/gen/go/open-feature/flagd/protocolbuffers/go/flagd/sync/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
)

// Options say what to serve and where.
type Options struct {
	CertFile, KeyFile string // PEM; both or none, none means no TLS
	Flags             *flags.Holder
	Fleet             *fleet.Fleet
}

// Server is the gRPC service.
type Server struct {
	syncv1grpc.UnimplementedFlagSyncServiceServer

	opt  Options
	grpc *grpc.Server
	done chan struct{} // closed by Stop
	stop context.CancelFunc
}

const (
	maxStreams = 10_000   // on one connection
	maxRequest = 64 << 10 // bytes
	// bytes of one call's metadata; clients are told and refuse to send more
	maxHeaders     = 16 << 10
	minPing        = 5 * time.Second
	pingAfter      = 20 * time.Second
	pingPatience   = 10 * time.Second
	maxIdentityLen = 200 // bytes of each name a worker gives itself
)

// New returns a server that does not listen yet. The error says what is wrong with the certificate.
//
//nolint:contextcheck // the server lives until Stop
func New(opt Options) (*Server, error) {
	if (opt.CertFile == "") != (opt.KeyFile == "") {
		return nil, migration.Errorf(
			migration.Invalid,
			"flag sync: TLS needs both a certificate and a key file: set both or none",
		)
	}
	settings := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(
			maxStreams,
		), grpc.MaxRecvMsgSize(maxRequest), grpc.MaxHeaderListSize(maxHeaders),
		// Clients ping every few seconds; the default policy would cut them off. Our own
		// pings find peers that vanished.
		grpc.KeepaliveEnforcementPolicy(
			keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true},
		),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingPatience}),
	}
	if opt.CertFile != "" {
		tls, err := credentials.NewServerTLSFromFile(opt.CertFile, opt.KeyFile)
		if err != nil {
			return nil, migration.Errorf(
				migration.Invalid,
				"flag sync: read the TLS certificate: %w",
				err,
			)
		}
		settings = append(settings, grpc.Creds(tls))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		opt:  opt,
		grpc: grpc.NewServer(settings...),
		done: make(chan struct{}),
		stop: cancel,
	}
	context.AfterFunc(ctx, func() { close(s.done) })
	syncv1grpc.RegisterFlagSyncServiceServer(s.grpc, s)
	return s, nil
}

// Serve answers until Stop.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.grpc.Serve(ln); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("flag sync: serve on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Stop ends every stream with Unavailable and returns when they have ended, or cuts them
// when ctx ends first.
func (s *Server) Stop(ctx context.Context) {
	s.stop()
	cut := context.AfterFunc(ctx, s.grpc.Stop)
	defer cut()
	s.grpc.GracefulStop()
}

// SyncFlags sends the whole set at once and after every change. The sync context stays
// empty: clients merge it into the context of every evaluation, where it could change what
// targeting sees.
func (s *Server) SyncFlags(
	req *syncv1.SyncFlagsRequest,
	stream grpc.ServerStreamingServer[syncv1.SyncFlagsResponse],
) error {
	token, r, err := s.admit(stream.Context(), req.GetSelector())
	if err != nil {
		return err
	}
	watch := s.opt.Flags.Watch(r.Set)
	defer watch.Close()
	line := s.opt.Fleet.Open(who(stream.Context(), r, req.GetProviderId()), fleet.ViaStream)
	defer line.Close()
	for sent := int64(0); ; {
		if err := s.still(token, r.Set); err != nil {
			return err
		}
		set, err := s.held(r.Set)
		if err != nil {
			return err
		}
		if set.Revision != sent {
			if err := stream.Send(&syncv1.SyncFlagsResponse{FlagConfiguration: string(set.Definition)}); err != nil {
				return status.Error(codes.Unavailable, "the stream broke: reconnect")
			}
			sent = set.Revision
			line.Sent(sent)
		}
		select {
		case <-watch.C:
		case <-s.done:
			return status.Error(codes.Unavailable, "the server is shutting down: reconnect")
		case <-stream.Context().Done():
			return status.Error(codes.Unavailable, "the client left")
		}
	}
}

// FetchAllFlags gives the whole set once.
func (s *Server) FetchAllFlags(
	ctx context.Context,
	req *syncv1.FetchAllFlagsRequest,
) (*syncv1.FetchAllFlagsResponse, error) {
	_, r, err := s.admit(ctx, req.GetSelector())
	if err != nil {
		return nil, err
	}
	set, err := s.held(r.Set)
	if err != nil {
		return nil, err
	}
	s.opt.Fleet.Poll(who(ctx, r, req.GetProviderId()), 0, false)
	return &syncv1.FetchAllFlagsResponse{FlagConfiguration: string(set.Definition)}, nil
}

// GetMetadata gives nothing: the call is deprecated, and what it gives clients merge into
// every evaluation's context.
func (s *Server) GetMetadata(
	ctx context.Context,
	_ *syncv1.GetMetadataRequest,
) (*syncv1.GetMetadataResponse, error) {
	if _, _, err := s.admit(ctx, ""); err != nil {
		return nil, err
	}
	return &syncv1.GetMetadataResponse{}, nil
}

// admit authenticates a call and takes it off the key's rate.
func (s *Server) admit(
	ctx context.Context,
	selector string,
) (token string, r *flags.Reader, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	selector = cmp.Or(selector, first(md, "flagd-selector"))
	bearer, ok := strings.CutPrefix(first(md, "authorization"), "Bearer ")
	if !ok {
		bearer = ""
	}
	token = cmp.Or(bearer, first(md, "x-api-key"))
	// Node's provider can send no metadata: there the selector carries the token.
	if t, ok := strings.CutPrefix(selector, "apiKey="); ok {
		token, selector = cmp.Or(token, t), ""
	}
	if token == "" {
		return "", nil, status.Error(
			codes.Unauthenticated,
			"a token is needed: metadata authorization or x-api-key, or the selector apiKey=",
		)
	}
	if r, err = s.opt.Flags.Authenticate([]byte(token)); err != nil {
		return "", nil, refusal(err)
	}
	if wanted := strings.TrimPrefix(selector, "flagSetId="); wanted != "" && wanted != r.Set {
		return "", nil, status.Error(
			codes.PermissionDenied,
			"the selector names another flag set than the key reads: leave it empty or use the set's own key",
		)
	}
	if wait, ok := r.Allow(); !ok {
		return "", nil, status.Errorf(
			codes.ResourceExhausted,
			"the key's rate of %d a second is used up: try again in %d s",
			r.RatePerSecond,
			wait,
		)
	}
	return token, r, nil
}

// still says whether a token that was good continues to be, for the same set.
func (s *Server) still(token, set string) error {
	r, err := s.opt.Flags.Authenticate([]byte(token))
	if err != nil {
		return refusal(err)
	}
	if r.Set != set {
		return status.Error(codes.PermissionDenied, "the key reads another flag set now: reconnect")
	}
	return nil
}

func (s *Server) held(id string) (flags.Set, error) {
	set, ok := s.opt.Flags.Held(id)
	if !ok {
		return set, status.Error(
			codes.Unavailable,
			"the flag set is not known yet: try again in a moment",
		)
	}
	return set, nil
}

func refusal(err error) error {
	if migration.KindOf(err) == migration.Unauthenticated {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	return status.Error(codes.Unavailable, "keys are not known yet: try again in a moment")
}

// who names the reader: by its metadata, else by the provider id, else by key and address only.
func who(ctx context.Context, r *flags.Reader, providerID string) fleet.Who {
	md, _ := metadata.FromIncomingContext(ctx)
	w := fleet.Who{
		Service:  identity(first(md, "x-worker-service")),
		Instance: cmp.Or(identity(first(md, "x-worker-instance")), identity(providerID)),
		Version:  identity(first(md, "x-worker-version")),
		Key:      r.Name,
		KeyID:    r.ID,
		Set:      r.Set,
	}
	if p, ok := peer.FromContext(ctx); ok {
		w.Address = p.Addr.String()
		if host, _, err := net.SplitHostPort(w.Address); err == nil {
			w.Address = host
		}
	}
	return w
}

// identity reads a name that a worker gives itself, as OFREP's headers are read: too long
// or not printable ASCII counts as absent.
func identity(s string) string {
	if len(s) > maxIdentityLen {
		return ""
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}
