package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrDamaged is wrapped by errors about bytes that cannot be a snapshot.
var ErrDamaged = errors.New("damaged snapshot")

// ErrUnknown is wrapped by errors about a part of a newer or foreign format. What
// follows cannot be read, since its length is unknown.
var ErrUnknown = errors.New("unknown part of a snapshot")

// Entry is one key. Its slices are valid until the next call of Next.
type Entry struct {
	DB       int
	Key      []byte
	ExpireAt int64 // unix ms; 0 never
	// type byte and value, for AppendPayload; nil if Size is above the reader's
	// limit
	Value []byte
	Size  int64 // bytes of type and value
}

// Reader reads a snapshot from a stream. It holds one buffer and at most one value
// up to its limit, whatever the snapshot's size.
type Reader struct {
	src    io.Reader
	buf    []byte
	at, to int    // unread part of buf
	before int64  // bytes read before buf
	summed int    // bytes of buf included in crc
	crc    uint64 // of everything up to there
	limit  int64

	keeping bool
	from    int    // where in buf the kept bytes continue
	kept    []byte // their beginning, if no longer in buf
	start   int64  // of the kept bytes, in the stream

	version   uint16
	db        int
	key       []byte
	packed    []byte // a compressed key
	libraries int
}

// bufferSize is how much is read at once, in bytes.
const bufferSize = 256 << 10

// NewReader reads the header. Values of more than limit bytes are skipped and
// returned without their bytes.
func NewReader(src io.Reader, limit int64) (*Reader, error) {
	r := &Reader{src: src, buf: make([]byte, bufferSize), limit: limit}
	var header [9]byte
	if err := r.full(header[:]); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(string(header[5:]), 10, 16)
	if string(header[:5]) != "REDIS" || err != nil || n == 0 {
		return nil, fmt.Errorf("%w: it begins with %q instead of REDIS and a version",
			ErrDamaged, header[:])
	}
	r.version = uint16(n)
	return r, nil
}

// Version is the format's version, for AppendPayload.
func (r *Reader) Version() uint16 { return r.version }

// Libraries is how many function libraries were skipped so far.
func (r *Reader) Libraries() int { return r.libraries }

// Offset is how many bytes of the snapshot were read.
func (r *Reader) Offset() int64 { return r.before + int64(r.at) }

// Read implements io.Reader for what follows the snapshot, after Next has returned
// io.EOF.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at < r.to {
		n := copy(p, r.buf[r.at:r.to])
		r.at += n
		return n, nil
	}
	return r.src.Read(p)
}

// Opcodes of rdb.h.
const (
	opSlotInfo   = 244
	opFunction   = 245
	opModuleAux  = 247
	opIdle       = 248
	opFreq       = 249
	opAux        = 250
	opResize     = 251
	opExpireMS   = 252
	opExpireSec  = 253
	opSelectDB   = 254
	opEOF        = 255
	firstOpcode  = 240
	maxKeyLength = 512 << 20 // proto-max-bulk-len: no client can make a longer one
)

// Next returns the next key, and io.EOF after the last one if the checksum was
// right. Any other error is final.
func (r *Reader) Next() (Entry, error) {
	e := Entry{}
	for {
		at := r.Offset()
		kind, err := r.byte()
		if err != nil {
			return e, err
		}
		switch kind {
		case opExpireMS:
			n, err := r.uint64()
			if err != nil {
				return e, err
			}
			e.ExpireAt = int64(n)
		case opExpireSec:
			var b [4]byte
			if err := r.full(b[:]); err != nil {
				return e, err
			}
			e.ExpireAt = int64(int32(binary.LittleEndian.Uint32(b[:]))) * 1000
		case opSelectDB:
			n, err := r.length()
			if err != nil {
				return e, err
			}
			if n > 1<<31 {
				return e, fmt.Errorf("%w: database %d", ErrDamaged, n)
			}
			r.db = int(n)
		case opEOF:
			return e, r.end()
		default:
			if kind >= firstOpcode {
				if err := r.passOver(kind); err != nil {
					return e, fmt.Errorf("at byte %d: %w", at, err)
				}
				continue
			}
			if e, err = r.entry(e, kind); err != nil {
				return e, fmt.Errorf("at byte %d: %w", at, err)
			}
			return e, nil
		}
	}
}

// passOver skips what is not a key.
func (r *Reader) passOver(kind byte) error {
	switch kind {
	case opFunction:
		r.libraries++
		return r.string()
	case opAux:
		return r.times(2, r.string)
	case opResize:
		return r.times(2, r.skipLength)
	case opIdle:
		return r.skipLength()
	case opFreq:
		return r.skip(1)
	case opSlotInfo:
		return r.times(3, r.skipLength)
	case opModuleAux:
		return r.module()
	}
	return fmt.Errorf("%w: opcode %d", ErrUnknown, kind)
}

// entry reads key and value; the type was read already.
func (r *Reader) entry(e Entry, kind byte) (Entry, error) {
	var err error
	if e.Key, err = r.readKey(); err != nil {
		return e, err
	}
	e.DB = r.db
	// The type precedes the key; for RESTORE it precedes the value.
	r.kept = append(r.kept[:0], kind)
	r.keeping, r.from, r.start = true, r.at, r.Offset()
	err = r.value(kind)
	e.Size = r.Offset() - r.start + 1
	e.Value = r.stopKeeping()
	if err != nil {
		return e, fmt.Errorf("key %.100q: %w", e.Key, err)
	}
	if e.Size > r.limit {
		e.Value = nil
	}
	return e, nil
}

// stopKeeping returns the kept bytes, or nil above the limit.
func (r *Reader) stopKeeping() []byte {
	r.keep()
	r.keeping = false
	return r.kept
}

// keep appends what was read of buf since the last time.
func (r *Reader) keep() {
	if r.keeping && int64(len(r.kept)+r.at-r.from) <= r.limit {
		r.kept = append(r.kept, r.buf[r.from:r.at]...)
	}
	r.from = r.at
}

// end checks the checksum; 0 means that the server was configured to omit it.
func (r *Reader) end() error {
	if r.version < 5 {
		return io.EOF
	}
	r.sum()
	want := r.crc
	got, err := r.uint64()
	if err != nil {
		return err
	}
	if got != 0 && got != want {
		return fmt.Errorf("%w: the checksum does not match", ErrDamaged)
	}
	return io.EOF
}

// fill reads more; everything in buf was consumed. An end of input here is
// premature.
func (r *Reader) fill() error {
	r.sum()
	r.keep()
	r.before += int64(r.at)
	r.at, r.to, r.summed, r.from = 0, 0, 0, 0
	for range 100 {
		n, err := r.src.Read(r.buf)
		if r.to = n; n > 0 {
			return nil
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (r *Reader) sum() {
	r.crc = CRC64(r.crc, r.buf[r.summed:r.at])
	r.summed = r.at
}

func (r *Reader) byte() (byte, error) {
	if r.at == r.to {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	r.at++
	return r.buf[r.at-1], nil
}

func (r *Reader) uint64() (uint64, error) {
	var p [8]byte
	err := r.full(p[:])
	return binary.LittleEndian.Uint64(p[:]), err
}

func (r *Reader) full(p []byte) error {
	for len(p) > 0 {
		if r.at == r.to {
			if err := r.fill(); err != nil {
				return err
			}
		}
		n := copy(p, r.buf[r.at:r.to])
		r.at += n
		p = p[n:]
	}
	return nil
}

// take appends n bytes; memory grows with what is really there, not with what a
// corrupt length claims.
func (r *Reader) take(dst []byte, n uint64) ([]byte, error) {
	if n > maxKeyLength {
		return dst, fmt.Errorf("%w: a key of %d bytes", ErrDamaged, n)
	}
	for n > 0 {
		if r.at == r.to {
			if err := r.fill(); err != nil {
				return dst, err
			}
		}
		some := min(int(n), r.to-r.at)
		dst = append(dst, r.buf[r.at:r.at+some]...)
		r.at += some
		n -= uint64(some)
	}
	return dst, nil
}

func (r *Reader) skip(n uint64) error {
	for n > uint64(r.to-r.at) {
		n -= uint64(r.to - r.at)
		r.at = r.to
		if err := r.fill(); err != nil {
			return err
		}
	}
	r.at += int(n)
	return nil
}
