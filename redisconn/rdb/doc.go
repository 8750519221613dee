// Package rdb reads a Redis snapshot (the RDB format) key by key and gives each value
// as the bytes RESTORE takes. It decodes keys, expiry times and the shape of values,
// never the values themselves, so a value costs one walk over its lengths and no
// allocation.
//
// It is our own because no parser for Go gives raw values: those on offer decode every
// value into Go types, refuse RDB versions above 7 (Redis 7.0 writes 10) or have not
// been kept up. The format is that of rdb.c and rdb.h of Redis 7.0, and of the release
// notes of 7.4 for hashes whose fields expire.
//
// The package does no I/O but reading from the io.Reader it is given.
package rdb
