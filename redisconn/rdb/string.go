package rdb

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Encodings of a string that is not stored plainly.
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

// string skips a string.
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

// unpack decompresses LZF: runs of literal bytes, and copies of what was unpacked
// already.
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
			for k := range n + 2 { // may overlap its own output
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
