package keycopy

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn/rdb"
)

// Snapshot describes a snapshot file.
type Snapshot struct {
	Version   uint16        // of the RDB format
	Databases map[int]int64 // keys by database, including expired ones
	Libraries int           // number of function libraries
	Bytes     int64
}

// Keys returns the number of keys in all databases.
func (s Snapshot) Keys() (n int64) {
	for _, keys := range s.Databases {
		n += keys
	}
	return n
}

// ErrNoStream is wrapped by the errors of Save about a source that sends no
// snapshot, or only part of one.
var ErrNoStream = errors.New("the source sends no snapshot")

// Save writes a snapshot of all of the source's databases to w, as received from
// its replication stream: a consistent state, in the format of RDB files, which any
// redis-server of that version or later loads. It is parsed up to its checksum on
// the way, in a few hundred kilobytes of memory whatever its size. After an error,
// discard what was written.
func Save(ctx context.Context, c redis.UniversalClient, w io.Writer) (Snapshot, error) {
	s, err := openStream(ctx, c)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	defer func() { _ = s.Close() }()
	out := &behind{w: w, by: len(s.mark)}
	found, r, err := walkSnapshot(io.TeeReader(s, out))
	if err == nil {
		err = s.finished(r)
	}
	if cause := context.Cause(ctx); cause != nil {
		return Snapshot{}, cause
	}
	if out.err != nil {
		return Snapshot{}, fmt.Errorf("write the snapshot: %w", out.err)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	found.Bytes = out.wrote
	return found, nil
}

// Verify reads a snapshot file to its end and checks its checksum.
func Verify(file io.Reader) (Snapshot, error) {
	found, r, err := walkSnapshot(file)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	found.Bytes = r.Offset()
	if n, err := io.Copy(io.Discard, r); err != nil || n != 0 {
		return Snapshot{}, fmt.Errorf("snapshot: %d bytes after its end (%w)", n,
			errors.Join(rdb.ErrDamaged, err))
	}
	return found, nil
}

func walkSnapshot(src io.Reader) (Snapshot, *rdb.Reader, error) {
	found := Snapshot{Databases: map[int]int64{}}
	r, err := rdb.NewReader(src, 0)
	if err != nil {
		return found, nil, err
	}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			found.Version, found.Libraries = r.Version(), r.Libraries()
			return found, r, nil
		}
		if err != nil {
			return found, nil, err
		}
		found.Databases[e.DB]++
	}
}

// behind passes on all but the last bytes, which are the mark that ends a stream
// and not part of the snapshot.
type behind struct {
	w     io.Writer
	by    int
	held  []byte
	wrote int64
	err   error
}

// Write implements io.Writer.
func (b *behind) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.held = append(b.held, p...)
	out := max(0, len(b.held)-b.by)
	n, err := b.w.Write(b.held[:out])
	b.wrote += int64(n)
	b.held = b.held[:copy(b.held, b.held[out:])]
	b.err = err
	return len(p), err
}
