package keycopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// batch holds the raw replies of one pipeline in one buffer: no reply costs its own
// allocation, and those that do not fit are read and dropped.
type batch struct {
	buf   []byte
	limit int
	slots []slot
	args  []any // of all commands, so that they share an allocation

	items  []item
	gone   []string // keys to be deleted: see Mirror
	left   []string // keys whose reply did not fit
	big    []string // keys whose reply would not fit in an empty batch either
	denied bool     // the server denies us the command
	heavy  bool     // buf is one of the copier's large ones
	spare  []byte   // then the batch's own
}

// item is a key to be written, with its payload in buf.
type item struct {
	key      string
	expireAt int64 // unix ms; 0 never
	from, to int
}

// slot is the reply to one command: what go-redis writes to while reading.
type slot struct {
	b        *batch
	from, to int
	size     int64 // size of the reply, even if it was dropped
	dropped  bool
}

var batches = sync.Pool{New: func() any { return &batch{} }}

func newBatch() *batch {
	b := batches.Get().(*batch)
	b.buf, b.items, b.left, b.big, b.denied, b.limit = b.buf[:0], b.items[:0], nil, nil,
		false, batchBytes
	b.gone = nil
	return b
}

func newHeavy() chan []byte {
	c := make(chan []byte, maxHeavy)
	for range maxHeavy {
		c <- nil
	}
	return c
}

// makeHeavy gives the batch room for one value of maxValue, if available.
func (b *batch) makeHeavy(ctx context.Context, c *copier) error {
	select {
	case large := <-c.heavy:
		b.heavy, b.spare, b.buf, b.limit = true, b.buf, large[:0], maxValue
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// free returns the batch and its buffer to their pools.
func (b *batch) free(c *copier) {
	if b.heavy {
		c.heavy <- b.buf
		b.heavy, b.buf, b.spare = false, b.spare, nil
	}
	batches.Put(b)
}

func growSlots(s []slot, n int) []slot {
	if cap(s) < n {
		return make([]slot, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// command makes a command whose raw reply goes to slot i.
func (b *batch) command(ctx context.Context, i int, args ...any) redis.Cmder {
	b.slots[i].b = b
	if cap(b.args)-len(b.args) < len(args) {
		b.args = make([]any, 0, 4096) // the previous one is held by the commands made so far
	}
	at := len(b.args)
	b.args = append(b.args, args...)
	return redis.NewRawWriteToCmd(ctx, &b.slots[i], b.args[at:len(b.args):len(b.args)]...)
}

// reply is the raw reply in slot i.
func (b *batch) reply(i int) []byte {
	s := &b.slots[i]
	return b.buf[s.from:s.to]
}

// room reports whether n more bytes fit, and drops the reply if they do not.
func (s *slot) room(n int64) bool {
	if s.size == 0 {
		s.from = len(s.b.buf)
	}
	if !s.dropped && int64(len(s.b.buf))+n > int64(s.b.limit) {
		s.dropped = true
		s.b.buf = s.b.buf[:s.from]
		s.to = s.from
	}
	return !s.dropped
}

// Write implements io.Writer.
func (s *slot) Write(p []byte) (int, error) {
	if s.room(int64(len(p))) {
		s.b.buf = append(s.b.buf, p...)
		s.to = len(s.b.buf)
	}
	s.size += int64(len(p))
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom, so that a reply is read straight into its
// final place.
func (s *slot) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	want := limited.N
	if !s.room(want) {
		n, err := io.Copy(io.Discard, r)
		s.size += n
		return n, err
	}
	at := len(s.b.buf)
	s.b.buf = grow(s.b.buf, int(want))
	n, err := io.ReadFull(r, s.b.buf[at:])
	s.b.buf = s.b.buf[:at+n]
	s.to = at + n
	s.size += int64(n)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil // io.CopyN compares the length
	}
	return int64(n), err
}

func grow(b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b[:len(b)+n]
	}
	bigger := make([]byte, len(b)+n, max(2*cap(b), len(b)+n, 64<<10))
	copy(bigger, b)
	return bigger
}

// sizing chooses how many keys go into a pipeline, judging by the size of the
// values in the last one.
type sizing struct {
	want int // bytes
	n    int
}

func newSizing(want int) *sizing { return &sizing{want: want, n: firstKeys} }

// keys returns how many of the waiting keys to take, at most limit. It takes a few
// extra if few would be left: SCAN returns slightly more than it is asked for, and
// the rest would cost another round trip.
func (s *sizing) keys(waiting, limit int) int {
	n := min(s.n, limit)
	if waiting <= n+n/4 {
		return waiting
	}
	return n
}

func (s *sizing) saw(bytes int64, keys int) {
	mean := max(1, bytes/int64(max(keys, 1)))
	fit := int(int64(s.want) * 3 / 4 / mean)
	s.n = max(1, min(fit, 2*s.n+1, batchKeys)) // grows slowly, shrinks at once
}

type replyKind int

const (
	replyBulk replyKind = iota
	replyNil
	replyError
	replyOther
)

// bulk finds the content of a raw bulk reply in buf[from:to].
func bulk(buf []byte, from, to int) (at, end int, kind replyKind) {
	p := buf[from:to]
	switch {
	case len(p) < 3:
		return 0, 0, replyOther
	case p[0] == '-':
		return 0, 0, replyError
	case p[0] == '_', p[0] == '$' && p[1] == '-':
		return 0, 0, replyNil
	case p[0] != '$':
		return 0, 0, replyOther
	}
	line := bytes.IndexByte(p, '\n')
	return from + line + 1, to - 2, replyBulk
}

// integer parses a raw integer reply.
func integer(p []byte) (int64, error) {
	if len(p) < 4 || p[0] != ':' {
		return 0, errors.New(errorText(p))
	}
	p = p[1 : len(p)-2]
	if len(p) == 2 && p[0] == '-' {
		return -int64(p[1] - '0'), nil
	}
	return strconv.ParseInt(string(p), 10, 64)
}

// errorText returns the text of a raw error reply.
func errorText(p []byte) string {
	if len(p) > 3 && p[0] == '-' {
		return string(p[1 : len(p)-2])
	}
	return fmt.Sprintf("unexpected answer %.60q", p)
}

// serverTime parses the reply of TIME, in ms.
func serverTime(p []byte) (int64, error) {
	v, err := parse(p, nil)
	if err != nil || len(v) != 2 {
		return 0, fmt.Errorf("TIME: %s", errorText(p))
	}
	sec, err1 := strconv.ParseInt(string(v[0]), 10, 64)
	usec, err2 := strconv.ParseInt(string(v[1]), 10, 64)
	return sec*1000 + usec/1000, errors.Join(err1, err2)
}

// parse appends the strings of a raw reply to dst, those of nested arrays in order; nil
// is a nil slice. The strings are parts of p.
func parse(p []byte, dst [][]byte) ([][]byte, error) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 2 {
			return dst, fmt.Errorf("unexpected answer %.60q", p)
		}
		line := p[1 : end-1]
		switch p[0] {
		case '*', '%', '~': // its elements follow
			p = p[end+1:]
		case '$':
			if line[0] == '-' {
				dst = append(dst, nil)
				p = p[end+1:]
				continue
			}
			n := 0
			for _, d := range line {
				n = n*10 + int(d-'0')
			}
			if end+1+n+2 > len(p) {
				return dst, io.ErrUnexpectedEOF
			}
			dst = append(dst, p[end+1:end+1+n])
			p = p[end+1+n+2:]
		case ':', ',', '+', '#', '(':
			dst = append(dst, line)
			p = p[end+1:]
		case '_':
			dst = append(dst, nil)
			p = p[end+1:]
		default:
			return dst, errors.New(errorText(p))
		}
	}
	return dst, nil
}
