package keycopy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/rdb"
)

// streamSilence is how long the source may stay silent. While it forks it sends an
// empty line every repl-ping-replica-period (10 s by default).
const streamSilence = time.Minute

// streamError means that the stream is unavailable or was lost: the keys can still
// travel by SCAN.
type streamError struct{ err error }

// Error implements error.
func (e *streamError) Error() string { return "the source's stream: " + e.err.Error() }

// Unwrap returns the cause.
func (e *streamError) Unwrap() error { return e.err }

// payloadEnd is the length of what follows the value in a payload: version and
// checksum, in bytes.
const payloadEnd = 2 + 8

// probeKey is used to try whether the target accepts a payload; it expires by
// itself.
const probeKey = "switchyard:keycopy:probe"

// copyStream writes what the snapshot holds as it arrives. Values too large for one
// request are read from the live source.
func (c *copier) copyStream(ctx context.Context) error {
	s, err := openStream(ctx, c.src)
	if err != nil {
		return &streamError{err}
	}
	defer func() { _ = s.Close() }()
	r, err := rdb.NewReader(s, maxValue-payloadEnd)
	if err != nil {
		return &streamError{err}
	}
	taken, err := c.takes(ctx, r.Version())
	if err != nil {
		return err
	}
	if !taken {
		return &streamError{fmt.Errorf(
			"the target refuses values of its format (RDB version %d)", r.Version())}
	}
	g, ctx := errgroup.WithContext(ctx)
	read := make(chan *batch, max(1, c.Workers/2))
	large := make(chan string)
	g.Go(func() error {
		defer close(read)
		defer close(large)
		return c.readStream(ctx, s, r, read, large)
	})
	for range c.Workers {
		g.Go(func() error { return c.writeAll(ctx, read) })
	}
	g.Go(func() error {
		for key := range large {
			if err := c.copyLarge(ctx, key); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// takes tries whether the target accepts payloads of a version.
func (c *copier) takes(ctx context.Context, version uint16) (bool, error) {
	payload := rdb.AppendPayload(nil, []byte{0, 1, 'v'}, version)
	if err := c.Target(ctx, 2); err != nil {
		return false, err
	}
	err := c.dst.Do(ctx, "RESTORE", probeKey, 60_000, payload, "REPLACE").Err()
	var refusal redis.Error
	if errors.As(err, &refusal) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	if err := c.dst.Del(ctx, probeKey).Err(); err != nil {
		return false, fmt.Errorf("write to the target: %w", redisconn.Explain(err))
	}
	return true, nil
}

// readStream makes batches of the snapshot's keys.
func (c *copier) readStream(
	ctx context.Context, s *stream, r *rdb.Reader, out chan<- *batch, large chan<- string,
) error {
	var b *batch
	flush := func() error {
		if b == nil || len(b.items) == 0 {
			return nil
		}
		full := b
		b = nil
		if err := send(ctx, out, full); err != nil {
			return err
		}
		return c.Gate(ctx)
	}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s.lost(ctx, err)
		}
		if e.DB != c.plan.DB {
			continue
		}
		c.libraries = r.Libraries()
		if e.Value == nil {
			if err := send(ctx, large, string(e.Key)); err != nil {
				return err
			}
			continue
		}
		if b != nil && (len(b.items) == c.Batch || len(b.buf)+len(e.Value) > batchBytes) {
			if err := flush(); err != nil {
				return err
			}
		}
		if b == nil {
			b = newBatch()
		}
		if len(e.Value) > batchBytes {
			if err := b.makeHeavy(ctx, c); err != nil {
				return err
			}
		}
		at := len(b.buf)
		b.buf = grow(b.buf, len(e.Value)+payloadEnd)[:at]
		b.buf = rdb.AppendPayload(b.buf, e.Value, r.Version())
		b.items = append(b.items, item{
			key:      string(e.Key),
			expireAt: e.ExpireAt,
			from:     at,
			to:       len(b.buf),
		})
	}
	c.libraries = r.Libraries()
	if err := s.finished(r); err != nil {
		return s.lost(ctx, err)
	}
	return flush()
}

// stream is a connection on which the source sends its snapshot.
type stream struct {
	net.Conn
	in   *bufio.Reader
	mark []byte // the mark that ends the snapshot
	left int64  // bytes left of a snapshot of known length
	stop func() bool
}

// openStream asks for a snapshot like a replica that wants nothing else, and waits
// until it begins.
func openStream(ctx context.Context, c redis.UniversalClient) (*stream, error) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		return nil, fmt.Errorf("a client of type %T does not reveal how it dials", c)
	}
	o := has.Options()
	nc, err := o.Dialer(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, redisconn.Explain(err)
	}
	s := &stream{Conn: nc, in: bufio.NewReaderSize(nc, 4096)}
	s.stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
	if err := s.begin(o); err != nil {
		_ = s.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return s, nil
}

func (s *stream) begin(o *redis.Options) error {
	if o.Password != "" {
		args := []string{"AUTH", o.Username, o.Password}
		if o.Username == "" {
			args = []string{"AUTH", o.Password}
		}
		if _, err := s.ask(args...); err != nil {
			return redisconn.Explain(err)
		}
	}
	// rdb-only (Redis 7): writes are not sent after the snapshot, and WAIT does not
	// count us. Older servers do not know it; there the connection is closed after
	// the snapshot without having acknowledged anything.
	for _, args := range [][]string{
		{"CLIENT", "SETNAME", redisconn.Self() + "-copy"},
		{"REPLCONF", "rdb-only", "1"},
		{"REPLCONF", "capa", "eof"},
	} {
		if _, err := s.ask(args...); err != nil && !isAnswer(err) {
			return err
		}
	}
	answer, err := s.ask("PSYNC", "?", "-1")
	if err != nil {
		return fmt.Errorf("PSYNC: %w", err)
	}
	if !strings.HasPrefix(answer, "+FULLRESYNC") {
		return fmt.Errorf("PSYNC: unexpected answer %.60q", answer)
	}
	line, err := s.line() // empty lines precede the snapshot
	if err != nil {
		return err
	}
	if mark, ok := strings.CutPrefix(line, "$EOF:"); ok {
		s.mark = []byte(mark)
		return nil
	}
	if s.left, err = strconv.ParseInt(strings.TrimPrefix(line, "$"), 10, 64); err != nil ||
		line[0] != '$' {
		return fmt.Errorf("PSYNC: unexpected answer %.60q", line)
	}
	return nil
}

type answerError string

// Error implements error.
func (e answerError) Error() string { return string(e) }

func isAnswer(err error) bool {
	var a answerError
	return errors.As(err, &a)
}

func (s *stream) ask(args ...string) (string, error) {
	p := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		p = fmt.Appendf(p, "$%d\r\n%s\r\n", len(a), a)
	}
	if err := s.SetDeadline(time.Now().Add(streamSilence)); err != nil {
		return "", err
	}
	if _, err := s.Write(p); err != nil {
		return "", err
	}
	line, err := s.line()
	if err == nil && line[0] == '-' {
		err = answerError(line[1:])
	}
	return line, err
}

// line reads a line that is not empty.
func (s *stream) line() (string, error) {
	for {
		if err := s.SetReadDeadline(time.Now().Add(streamSilence)); err != nil {
			return "", err
		}
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			return text, nil
		}
	}
}

// Read implements io.Reader: the snapshot and, if any, the mark after it.
func (s *stream) Read(p []byte) (int, error) {
	if s.mark == nil {
		if s.left == 0 {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), s.left)]
	}
	if s.in.Buffered() == 0 {
		if err := s.SetReadDeadline(time.Now().Add(streamSilence)); err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(p)
	s.left -= int64(n)
	return n, err
}

// finished checks that the snapshot ended where the source said.
func (s *stream) finished(r *rdb.Reader) error {
	if s.mark == nil {
		if n, _ := io.Copy(io.Discard, r); n != 0 {
			return fmt.Errorf("%d bytes after the snapshot", n)
		}
		return nil
	}
	got := make([]byte, len(s.mark))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, s.mark) {
		return errors.New("the snapshot does not end with the announced mark")
	}
	return nil
}

func (s *stream) lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return &streamError{err}
}

// Close closes the connection.
func (s *stream) Close() error {
	s.stop()
	return s.Conn.Close()
}
