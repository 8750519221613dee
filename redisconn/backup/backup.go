// Package backup takes the last backup of a server before it is deleted, and proves
// that it works: the file is restored into a scratch server, which is compared with
// the source, key by key and in both directions.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/scratch"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Methods of a backup.
const (
	// Replication: the source's replication stream. The file is an RDB file, which
	// any redis-server loads.
	Replication = "replication"
	// Dump: every key with DUMP, in a file format of Switchyard's own.
	Dump = "dump"
)

// Options say where the backup goes and how it is made.
type Options struct {
	// Dir and Name give the file; an extension is appended to Name.
	Dir, Name string
	// RedisServer is the program for the scratch server, as for scratch.Find.
	RedisServer string
	// Progress, if not nil, is called with a description of each step.
	Progress func(string)
}

// spare is how much space a disk or memory must have left, in bytes.
const spare = 64 << 20

// Take backs up a server and verifies the backup. Nobody should write meanwhile:
// whatever changes between the snapshot and the comparison is a difference.
// Differences are not an error, see the facts; an error means that there is no
// backup, and leaves no file.
func Take(
	ctx context.Context, src redis.UniversalClient, o Options,
) (evidence.BackupFacts, error) {
	began := time.Now()
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	server, err := redisconn.Inspect(ctx, src)
	if err != nil {
		return evidence.BackupFacts{}, fmt.Errorf("backup: %w", err)
	}
	need := max(server.UsedMemory, 0) + spare
	if free := diskFree(o.Dir); free >= 0 && free < need {
		return evidence.BackupFacts{}, migration.Errorf(migration.Blocked,
			"backup: %s has %s free, and the source's %s may need %s: make room there", o.Dir,
			migration.Bytes(free), migration.Bytes(max(server.UsedMemory, 0)), migration.Bytes(need))
	}
	binary, noServer := scratch.Find(o.RedisServer)
	if free := memoryFree(); noServer == nil && free >= 0 && free < need {
		noServer = fmt.Errorf("Switchyard's machine has %s of memory left, and the "+
			"source's data may need %s",
			migration.Bytes(free), migration.Bytes(need))
	}
	f := evidence.BackupFacts{TakenAt: began.UTC()}
	if noServer == nil {
		f, err = takeStream(ctx, src, binary, o, f)
		if err == nil || !errors.Is(err, errUseless) || ctx.Err() != nil {
			return finish(f, began, o, err)
		}
		f = evidence.BackupFacts{TakenAt: began.UTC(), Why: migration.PlainError(err)}
	}
	f, err = takeDump(ctx, src, binary, noServer, o, f)
	return finish(f, began, o, err)
}

func finish(
	f evidence.BackupFacts, began time.Time, o Options, err error,
) (evidence.BackupFacts, error) {
	if err != nil {
		for _, extension := range []string{".rdb", ".dump"} {
			_ = os.Remove(filepath.Join(o.Dir, o.Name+extension))
		}
		return evidence.BackupFacts{}, fmt.Errorf("backup: %w", err)
	}
	f.Seconds = time.Since(began).Seconds()
	return f, nil
}

// errUseless is wrapped by errors after which another method may still work.
var errUseless = errors.New("no backup from the replication stream")

// takeStream writes the source's snapshot to a file and loads it.
func takeStream(
	ctx context.Context, src redis.UniversalClient, binary string, o Options,
	f evidence.BackupFacts,
) (evidence.BackupFacts, error) {
	o.Progress("writing the snapshot from the source's replication stream")
	path := filepath.Join(o.Dir, o.Name+".rdb")
	snapshot, err := save(ctx, src, path)
	if err != nil {
		if errors.Is(err, keycopy.ErrNoStream) {
			err = fmt.Errorf("%w: %w", errUseless, err)
		}
		return f, err
	}
	f.Method, f.File, f.Keys, f.Bytes = Replication, filepath.Base(path), snapshot.Keys(),
		snapshot.Bytes
	if f.SHA256, err = readBack(path, snapshot); err != nil {
		return f, err
	}
	o.Progress("loading the file into a scratch server")
	s, err := scratch.Start(ctx, scratch.Options{Binary: binary, Snapshot: path})
	if err != nil {
		_ = os.Remove(path)
		// as with modules or a newer format: with DUMP it may still be verified
		return f, fmt.Errorf("%w: %w", errUseless, err)
	}
	defer s.Close()
	return compare(ctx, src, s, o, f)
}

// save writes the file next to path with mode 0600, syncs and renames it, so path
// is either absent or complete.
func save(
	ctx context.Context, src redis.UniversalClient, path string,
) (keycopy.Snapshot, error) {
	tmp, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return keycopy.Snapshot{}, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing left to remove
	defer func() { _ = tmp.Close() }()           // where it counts, it is closed and checked before
	snapshot, err := keycopy.Save(ctx, src, tmp)
	if err != nil {
		return snapshot, err
	}
	return snapshot, redisconn.SyncRename(tmp, path)
}

// readBack reads the file from disk up to its checksum, and returns its sha256.
func readBack(path string, want keycopy.Snapshot) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	sum := sha256.New()
	got, err := keycopy.Verify(io.TeeReader(file, sum))
	if err == nil && (got.Bytes != want.Bytes || got.Keys() != want.Keys()) {
		err = fmt.Errorf("%d bytes and %d keys were written, %d and %d are read back",
			want.Bytes, want.Keys(), got.Bytes, got.Keys())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// takeDump copies key by key. Without a scratch server the file is read back and
// compared with the source directly.
func takeDump(
	ctx context.Context, src redis.UniversalClient, binary string, noServer error,
	o Options, f evidence.BackupFacts,
) (evidence.BackupFacts, error) {
	o.Progress("copying every key with DUMP")
	path := filepath.Join(o.Dir, o.Name+".dump")
	report, err := redisconn.Backup(ctx, src, path)
	if err != nil {
		return f, err
	}
	f.Method, f.File, f.Keys, f.Bytes, f.SHA256 = Dump, filepath.Base(path), report.Keys,
		report.Bytes, report.SHA256
	if noServer == nil {
		s, err := scratch.Start(ctx, scratch.Options{Binary: binary})
		if err == nil {
			defer s.Close()
			o.Progress("restoring the file into a scratch server")
			if _, err = redisconn.RestoreBackup(ctx, path, s.Client()); err == nil {
				return compare(ctx, src, s, o, f)
			}
		}
		if cause := context.Cause(ctx); cause != nil {
			return f, cause
		}
		noServer = err
	}
	f.NotRestored = noServer.Error()
	o.Progress("reading the file back and comparing it with the source")
	differ, err := redisconn.CompareBackup(ctx, path, src)
	if err != nil {
		return f, err
	}
	f.Compared = differ.Keys
	return judged(f, differ), nil
}

// compare compares every database of the source with the scratch server's.
func compare(
	ctx context.Context, src redis.UniversalClient, s *scratch.Server, o Options,
	f evidence.BackupFacts,
) (evidence.BackupFacts, error) {
	databases, err := databasesOf(ctx, src, s.Client())
	if err != nil {
		return f, err
	}
	f.Restored = true
	total := redisconn.CompareReport{}
	for _, db := range databases {
		from, err := database(src, db)
		if err != nil {
			return f, err
		}
		to := s.Open(db)
		r, err := keycopy.Compare(ctx, from, to,
			keycopy.CompareOptions{Progress: func(p keycopy.Progress) {
				o.Progress(fmt.Sprintf(
					"comparing the scratch server with the source: %d of %d keys",
					p.Keys, p.Total))
			}})
		_ = to.Close()
		_ = from.Close()
		if err != nil {
			return f, err
		}
		f.Compared += r.Keys
		total.Missing, total.Extra, total.Value, total.Expiry = total.Missing+r.Missing,
			total.Extra+r.Extra, total.Value+r.Value, total.Expiry+r.Expiry
		total.Differences = append(total.Differences, r.Differences...)
	}
	return judged(f, total), nil
}

func judged(f evidence.BackupFacts, r redisconn.CompareReport) evidence.BackupFacts {
	f.Verified, f.Differences = true, int(r.Missing+r.Extra+r.Value+r.Expiry)
	for _, d := range r.Differences[:min(len(r.Differences), 20)] {
		f.Examples = append(f.Examples, d.What+": "+d.Key)
	}
	return f
}

// databasesOf lists the databases that hold keys on either server, database 0 always.
func databasesOf(ctx context.Context, clients ...redis.UniversalClient) ([]int, error) {
	all := []int{0}
	for _, c := range clients {
		found, err := redisconn.Databases(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// database returns a client for another database of the same server.
func database(c redis.UniversalClient, db int) (*redis.Client, error) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		return nil, fmt.Errorf("a client of type %T does not reveal how it dials", c)
	}
	o := *has.Options()
	o.DB = db
	return redis.NewClient(&o), nil
}
