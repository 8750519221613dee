// Package keycopy copies the keys of one Redis database to another server, and compares
// two of them: values by type, expiry times to the millisecond, both directions. It
// knows nothing of what the keys mean.
//
// There are three ways for a key to travel:
//
//	stream  the source sends its snapshot as to a replica (PSYNC), and each value in it goes into RESTORE as it is. The source forks once and
//	        serializes nothing in its main thread
//	scan    SCAN, then DUMP and PEXPIRETIME in pipelines, several at once, overlapped with RESTORE in others
//	typed   the value is read and written by commands of its type, in chunks. For a target that refuses RESTORE or the payload's version, and for
//	        values that are too large for one request, whichever way the others travel
//
// All three write a key by REPLACE or after deleting it, so a copy that was cut off
// anywhere is run again (with Overwrite) and ends in the same target. A copy is the
// state of one moment only when nobody writes meanwhile: fence the source first. The
// snapshot is of one moment by itself, but for values too large for it.
//
// Memory is bounded whatever the size of the key space: no list of keys is kept,
// batches hold at most batchBytes, and of larger values maxHeavy at a time, each of at
// most maxValue.
package keycopy
