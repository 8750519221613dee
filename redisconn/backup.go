package redisconn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// backupBatch is how many keys are read in one transaction: the server serves
// others between two batches.
const backupBatch = 200

// BackupReport describes a backup file.
type BackupReport struct {
	Path    string    `json:"path"`
	Server  string    `json:"server"` // address and version of the server it was taken from
	TakenAt time.Time `json:"taken_at"`
	Keys    int64     `json:"keys"`
	Bytes   int64     `json:"bytes"` // size of the file
	// of the file's content up to the checksum at its end
	SHA256   string `json:"sha256"`
	Vanished int64  `json:"vanished"` // keys that expired or were deleted during the backup
	// WritesMeanwhile is how many writes the server counted while the backup was
	// read; if not 0, it is not a consistent state.
	WritesMeanwhile int64 `json:"writes_meanwhile"`
}

// Backup writes every key of database 0 to a file: its DUMP payload, its expiry,
// and a digest of the typed value, by which CompareBackup can judge a live server.
// The file is written next to path with mode 0600, synced, and renamed, so path is
// either absent or complete. It is a consistent state only if nobody writes
// meanwhile: fence the server first and check WritesMeanwhile.
//
// It refuses a server that holds keys in other databases, since those would be
// missing.
func Backup(ctx context.Context, c redis.UniversalClient, path string) (BackupReport, error) {
	r, err := backup(ctx, c, path)
	if err != nil {
		return BackupReport{}, fmt.Errorf("backup to %s: %w", filepath.Base(path), err)
	}
	return r, nil
}

func backup(ctx context.Context, c redis.UniversalClient, path string) (BackupReport, error) {
	before, err := c.Info(ctx).Result()
	if err != nil {
		return BackupReport{}, Explain(err)
	}
	info := infoReader{values: ParseInfo(before)}
	if _, others := info.keyspace(); len(others) > 0 {
		return BackupReport{}, migration.Errorf(migration.Blocked, "databases %v hold keys; "+
			"only database 0 can be backed up: move or delete them first", others)
	}
	tmp, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return BackupReport{}, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing left to remove
	defer func() { _ = tmp.Close() }()           // where it counts, it is closed and checked before
	header := backupHeader{
		Format:  backupFormat,
		Server:  serverName(c, info.values["redis_version"]),
		TakenAt: time.Now().UTC(),
	}
	w, err := newBackupWriter(tmp, header)
	if err != nil {
		return BackupReport{}, err
	}
	report := BackupReport{Path: path, Server: header.Server, TakenAt: header.TakenAt}
	reader := newEntryReader(ctx, c)
	err = scanKeys(ctx, c, func(keys []string) error {
		entries, err := reader.read(ctx, keys, true)
		if err != nil {
			return err
		}
		report.Vanished += int64(len(keys) - len(entries))
		for _, e := range entries {
			if err := w.entry(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return BackupReport{}, err
	}
	sum, err := w.finish()
	if err != nil {
		return BackupReport{}, err
	}
	if err := SyncRename(tmp, path); err != nil {
		return BackupReport{}, err
	}
	after, err := c.Info(ctx).Result()
	if err != nil {
		return BackupReport{}, Explain(err)
	}
	report.WritesMeanwhile = writesBetween(info.values, ParseInfo(after))
	report.Keys, report.SHA256 = w.keys, hex.EncodeToString(sum)
	if st, err := os.Stat(path); err == nil {
		report.Bytes = st.Size()
	}
	return report, nil
}

// SyncRename makes the finished file durable under its final name.
func SyncRename(tmp *os.File, path string) error {
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // it was only read
	return dir.Sync()
}

func serverName(c redis.UniversalClient, version string) string {
	name := "redis " + version
	if o, ok := c.(interface{ Options() *redis.Options }); ok {
		name = o.Options().Addr + " " + name
	}
	return name
}

// writesBetween is Unreported when the server does not count writes; a snapshot
// resets the count.
func writesBetween(before, after map[string]string) int64 {
	b, a := infoReader{values: before}, infoReader{values: after}
	const key = "rdb_changes_since_last_save"
	nb, na := b.number("", key), a.number("", key)
	if nb == Unreported || na == Unreported ||
		before["rdb_last_save_time"] != after["rdb_last_save_time"] {
		return na
	}
	return na - nb
}

// scanKeys passes every key to f, in batches. SCAN may return a key twice; it
// returns every key that exists throughout.
func scanKeys(
	ctx context.Context, c redis.UniversalClient, batch func(keys []string) error,
) error {
	seen := map[string]struct{}{}
	var cursor uint64
	for {
		keys, next, err := c.Scan(ctx, cursor, "*", backupBatch).Result()
		if err != nil {
			return Explain(err)
		}
		fresh := keys[:0]
		for _, k := range keys {
			if _, again := seen[k]; !again {
				seen[k] = struct{}{}
				fresh = append(fresh, k)
			}
		}
		if len(fresh) > 0 {
			if err := batch(fresh); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// VerifyBackup reads a backup file to its end and checks its header, its count and its
// checksum.
func VerifyBackup(path string) (BackupReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return BackupReport{}, fmt.Errorf("verify backup: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	header, keys, sum, err := readBackup(f, func(entry) error { return nil })
	if err != nil {
		return BackupReport{}, fmt.Errorf("verify backup %s: %w", filepath.Base(path), err)
	}
	st, err := f.Stat()
	if err != nil {
		return BackupReport{}, fmt.Errorf("verify backup: %w", err)
	}
	return BackupReport{
		Path:    path,
		Server:  header.Server,
		TakenAt: header.TakenAt,
		Keys:    keys,
		Bytes:   st.Size(),
		SHA256:  hex.EncodeToString(sum),
	}, nil
}

// RestoreReport is what RestoreBackup did.
type RestoreReport struct {
	Restored     int64 `json:"restored"`
	AlreadyThere int64 `json:"already_there"` // left alone: a key is never overwritten
	Expired      int64 `json:"expired"`       // expired since the backup
}

// RestoreBackup restores the keys of a backup file to a server, with their expiry
// times. A key that exists there is left alone, so it can run again after an
// interruption; CompareBackup tells whether the result is right. The file is
// verified first.
func RestoreBackup(
	ctx context.Context, path string, c redis.UniversalClient,
) (RestoreReport, error) {
	var r RestoreReport
	err := eachBatch(path, func(batch []entry) error { return restore(ctx, c, batch, &r) })
	if err != nil {
		return r, fmt.Errorf("restore %s: %w", filepath.Base(path), err)
	}
	return r, nil
}

func restore(
	ctx context.Context, c redis.UniversalClient, batch []entry, r *RestoreReport,
) error {
	pipe := c.Pipeline()
	var cmds []*redis.Cmd
	now := time.Now().UnixMilli()
	for _, e := range batch {
		if e.expireAt > 0 && e.expireAt <= now {
			r.Expired++
			continue
		}
		cmds = append(cmds,
			pipe.Do(ctx, "RESTORE", e.key, max(e.expireAt, 0), e.dump, "ABSTTL"))
	}
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return Explain(err)
	}
	for _, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil:
			r.Restored++
		case redis.HasErrorPrefix(err, "BUSYKEY"):
			r.AlreadyThere++
		default:
			return fmt.Errorf("key %q: %w", cmd.Args()[1], err)
		}
	}
	return nil
}

// eachBatch verifies the file, then passes its entries to f in batches.
func eachBatch(path string, batch func([]entry) error) error {
	if _, err := VerifyBackup(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	var pending []entry
	_, _, _, err = readBackup(f, func(e entry) error {
		if pending = append(pending, e); len(pending) < backupBatch {
			return nil
		}
		err := batch(pending)
		pending = pending[:0]
		return err
	})
	if err != nil || len(pending) == 0 {
		return err
	}
	return batch(pending)
}

// Difference is one key that differs between the server and the backup.
type Difference struct {
	Key  string `json:"key"`
	What string `json:"what"` // "missing", "extra", "value", "expiry"
}

// CompareReport says whether a server holds what a backup holds.
type CompareReport struct {
	Same        bool         `json:"same"`
	Keys        int64        `json:"keys"`    // compared
	Expired     int64        `json:"expired"` // in the backup, expired since
	Missing     int64        `json:"missing"`
	Extra       int64        `json:"extra"`
	Value       int64        `json:"value"`       // type or value differs
	Expiry      int64        `json:"expiry"`      // value equal, expiry differs
	Differences []Difference `json:"differences"` // the first 100
}

// Add counts a difference in n and lists it while there is room.
func (r *CompareReport) Add(key, what string, n *int64) {
	*n++
	if len(r.Differences) < 100 {
		r.Differences = append(r.Differences, Difference{Key: key, What: what})
	}
}

// CompareBackup compares a server with a backup file, key by key: type, value
// (sets, hashes and the like regardless of order) and expiry time, and looks for
// keys that the backup does not have. It compares values, not DUMP payloads, which
// differ between servers for equal values.
func CompareBackup(
	ctx context.Context, path string, c redis.UniversalClient,
) (CompareReport, error) {
	var r CompareReport
	known := map[string]struct{}{}
	reader := newEntryReader(ctx, c)
	err := eachBatch(path, func(batch []entry) error {
		keys := make([]string, len(batch))
		for i, e := range batch {
			keys[i] = e.key
			known[e.key] = struct{}{}
		}
		live, err := reader.read(ctx, keys, false)
		if err != nil {
			return err
		}
		r.compare(batch, live, reader.tolerance)
		return nil
	})
	if err == nil {
		err = scanKeys(ctx, c, func(keys []string) error {
			for _, k := range keys {
				if _, ok := known[k]; !ok {
					r.Add(k, "extra", &r.Extra)
				}
			}
			return nil
		})
	}
	if err != nil {
		return CompareReport{}, fmt.Errorf("compare with %s: %w", filepath.Base(path), err)
	}
	r.Same = r.Missing+r.Extra+r.Value+r.Expiry == 0
	return r, nil
}

func (r *CompareReport) compare(want, live []entry, tolerance int64) {
	have := make(map[string]entry, len(live))
	for _, e := range live {
		have[e.key] = e
	}
	now := time.Now().UnixMilli()
	for _, w := range want {
		got, ok := have[w.key]
		r.Keys++
		switch {
		case !ok && w.expireAt > 0 && w.expireAt <= now:
			r.Expired++
		case !ok:
			r.Add(w.key, "missing", &r.Missing)
		case got.digest != w.digest:
			r.Add(w.key, "value", &r.Value)
		case got.expireAt != w.expireAt &&
			(got.expireAt < 0 || w.expireAt < 0 || abs(got.expireAt-w.expireAt) > tolerance):
			r.Add(w.key, "expiry", &r.Expiry)
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

const backupFormat = "switchyard-redis-backup-1"

// backupHeader is the first line of the file, as JSON.
type backupHeader struct {
	Format  string    `json:"format"`
	Server  string    `json:"server"`
	TakenAt time.Time `json:"taken_at"`
}

func (h backupHeader) line() ([]byte, error) {
	b, err := json.Marshal(h)
	return append(b, '\n'), err
}

// entry is one key of a backup or of a live server.
type entry struct {
	key      string
	expireAt int64 // unix ms; -1 for never
	// of the typed value, regardless of order where the type has none
	digest [sha256.Size]byte
	dump   string // DUMP payload; "" when read for comparison
}
