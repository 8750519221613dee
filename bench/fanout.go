package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"buf.build/gen/go/open-feature/flagd/grpc/go/flagd/sync/v1/syncv1grpc"
	syncv1 "buf.build/gen/go/open-feature/flagd/protocolbuffers/go/flagd/sync/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/switchyard-dev/switchyard/api"
)

const (
	// syncConnections carry all gRPC streams.
	syncConnections = 100
	// opening is how many subscribers come at the same time.
	opening = 100
	// spareFiles is what either side needs besides its subscribers.
	spareFiles     = 500
	fanOutPatience = 2 * time.Minute
)

// fanOut is how a change reaches many idle subscribers.
type fanOut struct {
	Kind        string `json:"kind"`
	Subscribers int    `json:"subscribers"`
	Connections int    `json:"connections"`
	// P50, P99 and Max count from the start of the API's answer; who was told before it
	// counts as 0.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
	// MaxAsked counts from when the change was asked for.
	MaxAsked float64 `json:"max_since_request_ms"`
	IdleRSS  float64 `json:"idle_rss_mb"`
	RSS      float64 `json:"rss_mb"` // after the change
	Note     string  `json:"note,omitempty"`
}

// crowd is what a subscriber tells: once that it is there, once that it has got the
// change.
type crowd struct {
	ready chan bool
	told  chan time.Time
	fail  func(error)
}

// openFunc opens n subscribers, and returns on how many connections while they go on
// until ctx ends. Each holds revision.
type openFunc func(ctx context.Context, srv *server, n int, revision int64,
	c crowd) (connections int, wait func(), err error)

func (s settings) fanOut(
	ctx context.Context, srv *server, r *report, kind string, open openFunc,
) (err error) {
	n, note, err := affordable(s.subscribers)
	if err != nil {
		return err
	}
	held, err := srv.change(ctx, "kill", api.FlagKill{
		Key:    killFlag,
		Killed: true,
		Reason: "bench: before the subscribers",
	})
	if err != nil {
		return err
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late, done := context.WithTimeoutCause(run, fanOutPatience, fmt.Errorf(
		"not all of %d %s subscribers were served within %s", n, kind, fanOutPatience))
	defer done()
	c := crowd{ready: make(chan bool, n), told: make(chan time.Time, n), fail: func(err error) {
		cancel(err)
	}}
	connections, wait, err := open(late, srv, n, held.revision, c)
	if err != nil {
		return cause(late, err)
	}
	defer wait()
	defer cancel(nil) // before wait
	f := fanOut{Kind: kind, Subscribers: n, Connections: connections, Note: note}
	if f.IdleRSS, err = residentMB(srv.pid); err != nil {
		return err
	}
	change, err := srv.change(late, "kill",
		api.FlagKill{Key: killFlag, Killed: false, Reason: "bench"})
	if err != nil {
		return cause(late, err)
	}
	times := make([]time.Time, 0, n)
	for range n {
		select {
		case at := <-c.told:
			times = append(times, at)
		case <-late.Done():
			return fmt.Errorf("%d of %d were told: %w", len(times), n, context.Cause(late))
		}
	}
	if f.RSS, err = residentMB(srv.pid); err != nil {
		return err
	}
	slices.SortFunc(times, time.Time.Compare)
	after := func(i int, since time.Time) float64 {
		return max(0, times[i].Sub(since).Seconds()*1000)
	}
	f.P50, f.P99, f.Max = after(n/2, change.answered), after(n*99/100, change.answered),
		after(n-1, change.answered)
	f.MaxAsked = after(n-1, change.asked)
	r.FanOut = append(r.FanOut, f)
	return nil
}

// cause prefers why a context has ended to the error that this led to.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// affordable is how many subscribers the limit of open files allows. Go programs raise
// theirs to the hard limit when they start, this one and the server.
func affordable(n int) (int, string, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, "", err
	}
	if uint64(n)+spareFiles <= limit.Max { //nolint:gosec // a number of streams is never negative
		return n, "", nil
	}
	if limit.Max < 2*spareFiles {
		return 0, "", fmt.Errorf("the hard limit of open files is %d: at least %d are "+
			"needed, raise it with ulimit -Hn", limit.Max, 2*spareFiles)
	}
	return int(limit.Max) - spareFiles, //nolint:gosec // it is less than n here
		fmt.Sprintf("not %d: the hard limit of open files is %d", n, limit.Max), nil
}

// await lets start run n times, no more than opening of them not ready at once, and
// returns when all are ready.
func (c crowd) await(ctx context.Context, n int, start func(i int) error) error {
	arrived := func() error {
		select {
		case <-c.ready:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for i := range n {
		if err := start(i); err != nil {
			return err
		}
		if i >= opening {
			if err := arrived(); err != nil {
				return err
			}
		}
	}
	for range min(n, opening) {
		if err := arrived(); err != nil {
			return err
		}
	}
	return nil
}

// openSSE subscribes as OFREP says: at the address that a bulk answer gives.
func openSSE(
	ctx context.Context, srv *server, n int, revision int64, c crowd,
) (int, func(), error) {
	a, err := send(ctx, "POST", srv.url+bulkPath, srv.worker, "", []byte(orderContext))
	if err != nil {
		return 0, nil, err
	}
	var bulk struct {
		EventStreams []struct{ Endpoint struct{ RequestURI string } }
	}
	if err := json.Unmarshal(a.body, &bulk); err != nil || a.status != http.StatusOK ||
		len(bulk.EventStreams) == 0 {
		return 0, nil,
			errors.Join(fmt.Errorf("the bulk answer has no eventStreams: %d", a.status), err)
	}
	host := strings.TrimPrefix(srv.url, "http://")
	request := "GET " + bulk.EventStreams[0].Endpoint.RequestURI + " HTTP/1.1\r\nHost: " +
		host + "\r\nAccept: text/event-stream\r\n\r\n"
	var readers sync.WaitGroup
	err = c.await(ctx, n, func(int) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		readers.Go(func() {
			defer stop()
			defer conn.Close()
			if err := readSSE(conn, request, revision, c); err != nil {
				c.fail(err)
			}
		})
		return nil
	})
	return n, readers.Wait, err
}

// readSSE reads until the stream ends, which is an error. The first id means that the
// stream is open; data of a higher revision than held is the change: a server may tell
// again what has just changed.
func readSSE(conn net.Conn, request string, held int64, c crowd) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 512), 4096)
	last, ready := int64(0), false
	for lines.Scan() {
		line := lines.Text()
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			last, _ = strconv.ParseInt(id, 10, 64)
			if !ready {
				ready = true
				c.ready <- true
			}
		}
		if strings.HasPrefix(line, "data:") && last > held {
			held = last
			c.told <- time.Now()
		}
	}
	return errors.Join(errors.New("a stream ended"), lines.Err())
}

// openSync subscribes to whole flag sets.
func openSync(ctx context.Context, srv *server, n int, _ int64, c crowd) (int, func(), error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+srv.worker)
	var conns []*grpc.ClientConn
	var readers sync.WaitGroup
	wait := func() {
		readers.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	for range min(n, syncConnections) {
		conn, err := grpc.NewClient("passthrough:///"+srv.sync,
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			wait()
			return 0, nil, err
		}
		conns = append(conns, conn)
	}
	err := c.await(ctx, n, func(i int) error {
		stream, err := syncv1grpc.NewFlagSyncServiceClient(conns[i%len(conns)]).SyncFlags(ctx,
			&syncv1.SyncFlagsRequest{})
		if err != nil {
			return err
		}
		readers.Go(func() {
			if err := readSync(stream, c); err != nil {
				c.fail(err)
			}
		})
		return nil
	})
	return len(conns), wait, err
}

// readSync reads until the stream ends, which is an error. The first message is the
// set, the second one the change.
func readSync(stream grpc.ServerStreamingClient[syncv1.SyncFlagsResponse], c crowd) error {
	for first := true; ; first = false {
		if _, err := stream.Recv(); err != nil {
			return fmt.Errorf("a stream ended: %w", err)
		}
		if first {
			c.ready <- true
		} else {
			c.told <- time.Now()
		}
	}
}
