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
// follows cannot be read, since its length is not known.
var ErrUnknown = errors.New("unknown part of a snapshot")

// Entry is one key. Its slices hold until the next call of Next.
type Entry struct {
	DB       int
	Key      []byte
	ExpireAt int64 // unix ms; 0 never
	// type byte and value, for AppendPayload; nil when Size is above the reader's limit
	Value []byte
	Size  int64 // bytes of type and value
}

// Reader reads a snapshot from a stream. It holds one buffer and at most one value up
// to its limit, whatever the snapshot's size.
type Reader struct {
	src    io.Reader
	buf    []byte
	at, to int    // what is unread of buf
	before int64  // bytes that were read before buf
	summed int    // bytes of buf that are in crc
	crc    uint64 // of everything up to there
	limit  int64

	keeping bool
	from    int    // in buf, where the kept bytes go on
	kept    []byte // their beginning, when it is not in buf any more
	start   int64  // of the kept bytes, in the stream

	version   uint16
	db        int
	key       []byte
	packed    []byte // a compressed key
	libraries int
}

// bufferSize is how much is read at once, in bytes.
const bufferSize = 256 << 10

// NewReader reads the header. Values of more than limit bytes are walked over and given
// without their bytes.
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

// Libraries is how many function libraries were passed over so far.
func (r *Reader) Libraries() int { return r.libraries }

// Offset is how many bytes of the snapshot were read.
func (r *Reader) Offset() int64 { return r.before + int64(r.at) }

// Read implements io.Reader: what follows the snapshot, after Next gave io.EOF.
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

// Next gives the next key, and io.EOF after the last one, when the checksum was right.
// Every other error is final.
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

// passOver walks over what is no key.
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

// entry reads key and value; the type was read.
func (r *Reader) entry(e Entry, kind byte) (Entry, error) {
	var err error
	if e.Key, err = r.readKey(); err != nil {
		return e, err
	}
	e.DB = r.db
	// The type stands before the key; for RESTORE it stands before the value.
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

// stopKeeping gives the kept bytes, but for those above the limit.
func (r *Reader) stopKeeping() []byte {
	r.keep()
	r.keeping = false
	return r.kept
}

// keep takes what was read of buf since the last time.
func (r *Reader) keep() {
	if r.keeping && int64(len(r.kept)+r.at-r.from) <= r.limit {
		r.kept = append(r.kept, r.buf[r.from:r.at]...)
	}
	r.from = r.at
}

// Types of rdb.h.
const (
	typeString         = 0
	typeList           = 1
	typeSet            = 2
	typeZset           = 3
	typeHash           = 4
	typeZset2          = 5
	typeModule2        = 7
	typeZipmap         = 9
	typeListZiplist    = 10
	typeIntset         = 11
	typeZsetZiplist    = 12
	typeHashZiplist    = 13
	typeQuicklist      = 14
	typeStream         = 15
	typeHashListpack   = 16
	typeZsetListpack   = 17
	typeQuicklist2     = 18
	typeStream2        = 19
	typeSetListpack    = 20
	typeStream3        = 21
	typeHashMetadata   = 24
	typeHashListpackEx = 25
)

// value walks over a value.
func (r *Reader) value(kind byte) error {
	switch kind {
	case typeString, typeZipmap, typeListZiplist, typeIntset, typeZsetZiplist, typeHashZiplist,
		typeHashListpack, typeZsetListpack, typeSetListpack:
		return r.string()
	case typeList, typeSet, typeQuicklist:
		return r.repeat(r.string)
	case typeHash:
		return r.repeat(func() error { return r.times(2, r.string) })
	case typeZset:
		return r.repeat(func() error {
			if err := r.string(); err != nil {
				return err
			}
			return r.oldDouble()
		})
	case typeZset2:
		return r.repeat(func() error {
			if err := r.string(); err != nil {
				return err
			}
			return r.skip(8)
		})
	case typeQuicklist2:
		return r.repeat(func() error {
			if err := r.skipLength(); err != nil { // packed or plain
				return err
			}
			return r.string()
		})
	case typeStream, typeStream2, typeStream3:
		return r.stream(kind)
	case typeModule2:
		return r.module()
	case typeHashMetadata: // earliest expiry; expiry, field and value of each
		if err := r.skip(8); err != nil {
			return err
		}
		return r.repeat(func() error {
			if err := r.skipLength(); err != nil {
				return err
			}
			return r.times(2, r.string)
		})
	case typeHashListpackEx:
		if err := r.skip(8); err != nil {
			return err
		}
		return r.string()
	}
	return fmt.Errorf("%w: value type %d", ErrUnknown, kind)
}

// stream: listpacks by first id, counters, then groups with their pending entries and
// consumers.
func (r *Reader) stream(kind byte) error {
	if err := r.repeat(func() error { return r.times(2, r.string) }); err != nil {
		return err
	}
	counters, inGroup := 3, 2 // length and last id; the group's last id
	if kind != typeStream {
		// and first id, highest deleted id, entries added; and entries read
		counters, inGroup = 8, 3
	}
	if err := r.times(counters, r.skipLength); err != nil {
		return err
	}
	return r.repeat(func() error {
		if err := r.string(); err != nil {
			return err
		}
		if err := r.times(inGroup, r.skipLength); err != nil {
			return err
		}
		if err := r.repeat(func() error { // id and time of delivery, how often
			if err := r.skip(16 + 8); err != nil {
				return err
			}
			return r.skipLength()
		}); err != nil {
			return err
		}
		return r.repeat(func() error {
			if err := r.string(); err != nil {
				return err
			}
			seen := uint64(8)
			if kind == typeStream3 {
				seen = 16 // and when it was active
			}
			if err := r.skip(seen); err != nil {
				return err
			}
			return r.repeat(func() error { return r.skip(16) })
		})
	})
}

// module: an id, then marked parts up to the mark of the end.
func (r *Reader) module() error {
	if err := r.skipLength(); err != nil {
		return err
	}
	for {
		mark, err := r.length()
		if err != nil {
			return err
		}
		switch mark {
		case 0:
			return nil
		case 1, 2:
			err = r.skipLength()
		case 3:
			err = r.skip(4)
		case 4:
			err = r.skip(8)
		case 5:
			err = r.string()
		default:
			err = fmt.Errorf("%w: part %d of a module's value", ErrUnknown, mark)
		}
		if err != nil {
			return err
		}
	}
}

// oldDouble is a score as text, or one of three marks.
func (r *Reader) oldDouble() error {
	n, err := r.byte()
	if err != nil || n >= 253 {
		return err
	}
	return r.skip(uint64(n))
}

func (r *Reader) repeat(do func() error) error {
	n, err := r.length()
	if err != nil {
		return err
	}
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) times(n int, do func() error) error {
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// end checks the checksum; 0 says that the server was told to leave it out.
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

// Encodings of a string that is not stored as it is.
const (
	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// lengthOrEncoding reads a length, or the encoding of a string.
func (r *Reader) lengthOrEncoding() (n uint64, encoded bool, err error) {
	b, err := r.byte()
	if err != nil {
		return 0, false, err
	}
	switch b >> 6 {
	case 0:
		return uint64(b), false, nil
	case 1:
		low, err := r.byte()
		return uint64(b&0x3f)<<8 | uint64(low), false, err
	case 3:
		return uint64(b & 0x3f), true, nil
	}
	switch b {
	case 0x80:
		var p [4]byte
		err := r.full(p[:])
		return uint64(binary.BigEndian.Uint32(p[:])), false, err
	case 0x81:
		var p [8]byte
		err := r.full(p[:])
		return binary.BigEndian.Uint64(p[:]), false, err
	}
	return 0, false, fmt.Errorf("%w: length begins with %#x", ErrDamaged, b)
}

func (r *Reader) length() (uint64, error) {
	n, encoded, err := r.lengthOrEncoding()
	if err == nil && encoded {
		err = fmt.Errorf("%w: an encoded string where a length belongs", ErrDamaged)
	}
	return n, err
}

func (r *Reader) skipLength() error {
	_, err := r.length()
	return err
}

// string walks over a string.
func (r *Reader) string() error {
	n, encoded, err := r.lengthOrEncoding()
	if err != nil || !encoded {
		if err == nil {
			err = r.skip(n)
		}
		return err
	}
	switch n {
	case encodedInt8, encodedInt16, encodedInt32:
		return r.skip(1 << n)
	case encodedLZF:
		packed, err := r.length()
		if err != nil {
			return err
		}
		if err := r.skipLength(); err != nil {
			return err
		}
		return r.skip(packed)
	}
	return fmt.Errorf("%w: string encoding %d", ErrUnknown, n)
}

// readKey reads a string.
func (r *Reader) readKey() ([]byte, error) {
	n, encoded, err := r.lengthOrEncoding()
	if err != nil {
		return nil, err
	}
	if !encoded {
		r.key, err = r.take(r.key[:0], n)
		return r.key, err
	}
	switch n {
	case encodedInt8, encodedInt16, encodedInt32:
		var p [4]byte
		if err := r.full(p[:1<<n]); err != nil {
			return nil, err
		}
		v := int64(int32(binary.LittleEndian.Uint32(p[:])))
		switch n {
		case encodedInt8:
			v = int64(int8(v))
		case encodedInt16:
			v = int64(int16(v))
		}
		r.key = strconv.AppendInt(r.key[:0], v, 10)
		return r.key, nil
	case encodedLZF:
		packed, err := r.length()
		if err != nil {
			return nil, err
		}
		size, err := r.length()
		if err != nil {
			return nil, err
		}
		if r.packed, err = r.take(r.packed[:0], packed); err != nil {
			return nil, err
		}
		r.key, err = unpack(r.key[:0], r.packed, size)
		return r.key, err
	}
	return nil, fmt.Errorf("%w: string encoding %d", ErrUnknown, n)
}

// unpack undoes LZF: runs of literal bytes, and copies from what was unpacked already.
func unpack(dst, p []byte, size uint64) ([]byte, error) {
	bad := fmt.Errorf("%w: a compressed key", ErrDamaged)
	if size > maxKeyLength {
		return dst, bad
	}
	for i := 0; i < len(p); {
		c := int(p[i])
		i++
		if c < 32 {
			if i+c+1 > len(p) {
				return dst, bad
			}
			dst = append(dst, p[i:i+c+1]...)
			i += c + 1
		} else {
			n := c >> 5
			if n == 7 {
				if i >= len(p) {
					return dst, bad
				}
				n += int(p[i])
				i++
			}
			if i >= len(p) {
				return dst, bad
			}
			from := len(dst) - (c&31)<<8 - int(p[i]) - 1
			i++
			if from < 0 {
				return dst, bad
			}
			for k := range n + 2 { // may overlap what it makes
				dst = append(dst, dst[from+k])
			}
		}
		if uint64(len(dst)) > size {
			return dst, bad
		}
	}
	if uint64(len(dst)) != size {
		return dst, bad
	}
	return dst, nil
}

// fill reads more; everything in buf was read. An end here is too early.
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

// take appends n bytes; memory grows with what is really there, not with what a damaged
// length claims.
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
