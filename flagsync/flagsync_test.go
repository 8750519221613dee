package flagsync_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"testing"
	"time"

	"buf.build/gen/go/open-feature/flagd/grpc/go/flagd/sync/v1/syncv1grpc"
	syncv1 "buf.build/gen/go/open-feature/flagd/protocolbuffers/go/flagd/sync/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/switchyard-dev/switchyard/flags"
	"github.com/switchyard-dev/switchyard/flagsync"
	"github.com/switchyard-dev/switchyard/fleet"
)

func set(revision int64) flags.Set {
	return flags.Set{ID: "s", Revision: revision, Definition: fmt.Appendf(nil,
		`{"flags":{},"metadata":{"flagSetRevision":%d}}`, revision)}
}

func TestStreamsGetTheSetItsChangesAndEndUnavailableAndStrangersAreRefused(t *testing.T) {
	t.Parallel()
	h := flags.NewHolder(flags.Options{Keys: []flags.Key{{Name: "k", Set: "s",
		Hash: sha256.Sum256([]byte("good"))}}})
	if err := h.Replace(set(1)); err != nil {
		t.Fatal(err)
	}
	f := fleet.New(time.Now)
	s, err := flagsync.New(flagsync.Options{Flags: h, Fleet: f})
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	conn, err := grpc.NewClient(ln.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := syncv1grpc.NewFlagSyncServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for selector, want := range map[string]codes.Code{"": codes.Unauthenticated,
		"apiKey=foul": codes.Unavailable} {
		if _, err := c.FetchAllFlags(ctx,
			&syncv1.FetchAllFlagsRequest{Selector: selector}); status.Code(err) != want {
			t.Errorf("selector %q: %v, want %v", selector, err, want)
		}
	}
	stream, err := c.SyncFlags(ctx, &syncv1.SyncFlagsRequest{Selector: "apiKey=good"})
	if err != nil {
		t.Fatal(err)
	}
	for revision := int64(1); revision <= 2; revision++ {
		m, err := stream.Recv()
		if err != nil || m.GetFlagConfiguration() != string(set(revision).Definition) {
			t.Fatalf("revision %d: %v %v", revision, m, err)
		}
		if err := h.Replace(set(revision + 1)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = stream.Recv()
	s.Stop(ctx)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}
