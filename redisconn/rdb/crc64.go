package rdb

import "encoding/binary"

// tables are for eight bytes at a time. hash/crc64 does so for its own polynomials,
// and for others only above 2 KB: a job's payload has 200 B.
var tables = func() (t [8][256]uint64) {
	const jones = 0x95AC9329AC4BC9B5 // crc64.c of Redis: the Jones polynomial, reflected
	for i := range 256 {
		c := uint64(i)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ jones
			} else {
				c >>= 1
			}
		}
		t[0][i] = c
	}
	for i := range 256 {
		for j := 1; j < 8; j++ {
			t[j][i] = t[j-1][i]>>8 ^ t[0][byte(t[j-1][i])]
		}
	}
	return t
}()

// CRC64 continues Redis's checksum over p; it starts at 0.
func CRC64(crc uint64, p []byte) uint64 {
	for len(p) >= 8 {
		crc ^= binary.LittleEndian.Uint64(p)
		crc = tables[7][byte(crc)] ^ tables[6][byte(crc>>8)] ^ tables[5][byte(crc>>16)] ^
			tables[4][byte(crc>>24)] ^
			tables[3][byte(crc>>32)] ^ tables[2][byte(crc>>40)] ^ tables[1][byte(crc>>48)] ^
			tables[0][crc>>56]
		p = p[8:]
	}
	for _, b := range p {
		crc = crc>>8 ^ tables[0][byte(crc)^b]
	}
	return crc
}

// AppendPayload appends what RESTORE takes, given a value of a snapshot: type and
// value unchanged, the format's version, a checksum.
func AppendPayload(dst []byte, value []byte, version uint16) []byte {
	at := len(dst)
	dst = append(dst, value...)
	dst = binary.LittleEndian.AppendUint16(dst, version)
	return binary.LittleEndian.AppendUint64(dst, CRC64(0, dst[at:]))
}
