// Package redistest starts real Redis servers and Sentinels for tests: on loopback,
// on free ports, in a temporary directory, and gone when the test ends, even if the
// test binary is killed (on Linux).
package redistest
