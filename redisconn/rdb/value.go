package rdb

import (
	"fmt"
)

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

// value skips a value.
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

// stream skips a stream: listpacks by first id, counters, then groups with their
// pending entries and consumers.
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
		if err := r.repeat(func() error { // id and delivery time, delivery count
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

// module skips a module's value: an id, then marked parts up to the end mark.
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

// oldDouble skips a score as text, or one of three marks.
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
