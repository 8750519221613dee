// Package keycopy copies the keys of one Redis database to another server, and
// compares two of them: values by type, expiry times to the millisecond, both
// directions. It knows nothing of what the keys mean.
//
// A key can travel in three ways:
//
//	stream  the source sends its snapshot as if to a replica (PSYNC), and each
//	        value in it goes into RESTORE unchanged. The source forks once and
//	        serializes nothing in its main thread
//	scan    SCAN, then DUMP and PEXPIRETIME in pipelines, several at once,
//	        overlapped with RESTORE in others
//	typed   the value is read and written with commands of its type, in chunks.
//	        For a target that refuses RESTORE or the payload's version, and for
//	        values too large for one request, whichever way the others travel
//
// All three write a key with REPLACE or after deleting it, so a copy that was cut
// off anywhere can be run again (with Overwrite) and ends in the same target. A
// copy is a consistent state only if nobody writes meanwhile: fence the source
// first. The snapshot is consistent by itself, except for values too large for it.
//
// Memory is bounded whatever the size of the key space: no list of keys is kept,
// batches hold at most batchBytes, and of larger values maxHeavy at a time, each of
// at most maxValue.
package keycopy
