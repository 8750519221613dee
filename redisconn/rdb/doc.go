// Package rdb reads a Redis snapshot (the RDB format) key by key and returns each
// value as the bytes that RESTORE takes. It decodes keys, expiry times and the
// shape of values, never the values themselves, so a value costs one walk over its
// lengths and no allocation.
//
// We wrote it because no parser for Go returns raw values: the existing ones decode
// every value into Go types, refuse RDB versions above 7 (Redis 7.0 writes 10) or
// are unmaintained. The format is that of rdb.c and rdb.h of Redis 7.0, and of the
// release notes of 7.4 for hashes whose fields expire.
//
// The package does no I/O except reading from its io.Reader.
package rdb
