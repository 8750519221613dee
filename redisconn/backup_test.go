package redisconn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// fill writes keys of every type, more than one batch of them.
func fill(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	ctx := t.Context()
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 500 {
			p.HSet(ctx, fmt.Sprintf("bull:q:%d", i), "name", "order", "data",
				fmt.Sprintf(`{"i":%d}`, i), "opts", "{}")
			p.LPush(ctx, "bull:q:wait", i)
			p.ZAdd(ctx, "bull:q:delayed", redis.Z{Score: float64(i) * 4096.5, Member: i})
			p.SAdd(ctx, "set", i, "x"+fmt.Sprint(i))
		}
		p.Set(ctx, "binary\x00key", "\xff\x00value", 0)
		p.Set(ctx, "ttl", "v", time.Hour)
		p.Set(ctx, "soon gone", "v", time.Minute)
		p.XAdd(ctx, &redis.XAddArgs{Stream: "bull:q:events", Values: []any{"event", "added"}})
		p.XGroupCreate(ctx, "bull:q:events", "g", "0")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBackupRestoreCompare(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	src, scratch := redistest.Start(t, redistest.Password("pw")).Client(),
		redistest.Start(t).Client()
	fill(t, src)
	path := filepath.Join(t.TempDir(), "linode.backup")
	b, err := redisconn.Backup(ctx, src, path)
	if err != nil {
		t.Fatal(err)
	}
	if size := src.DBSize(ctx).Val(); b.Keys != size || b.WritesMeanwhile != 0 ||
		b.SHA256 == "" {
		t.Errorf("got %+v, the server holds %d keys", b, size)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 ||
		st.Size() != b.Bytes {
		t.Errorf("file: %v %v", st, err)
	}
	if v, err := redisconn.VerifyBackup(path); err != nil || v.SHA256 != b.SHA256 ||
		v.Keys != b.Keys {
		t.Errorf("verify: %+v %v", v, err)
	}
	r, err := redisconn.RestoreBackup(ctx, path, scratch)
	if err != nil || r.Restored != b.Keys {
		t.Fatalf("restore: %+v %v", r, err)
	}
	if r, err = redisconn.RestoreBackup(ctx, path, scratch); err != nil ||
		r.AlreadyThere != b.Keys {
		t.Errorf("restore again: %+v %v", r, err)
	}
	for name, c := range map[string]redis.UniversalClient{"source": src,
		"scratch server": scratch} {
		if cmp, err := redisconn.CompareBackup(ctx, path, c); err != nil || !cmp.Same ||
			cmp.Keys != b.Keys {
			t.Errorf("compare with the %s: %+v %v", name, cmp, err)
		}
	}
	scratch.HSet(ctx, "bull:q:7", "data", "{}")
	scratch.PExpireAt(ctx, "ttl", time.Now().Add(59*time.Minute))
	scratch.Del(ctx, "bull:q:8")
	scratch.Set(ctx, "new", "v", 0)
	cmp, err := redisconn.CompareBackup(ctx, path, scratch)
	if err != nil || cmp.Same || cmp.Value != 1 || cmp.Expiry != 1 || cmp.Missing != 1 ||
		cmp.Extra != 1 || len(cmp.Differences) != 4 {
		t.Errorf("after four changes: %+v %v", cmp, err)
	}
}

func TestVerifyBackupFindsDamage(t *testing.T) {
	t.Parallel()
	src := redistest.Start(t).Client()
	fill(t, src)
	path := filepath.Join(t.TempDir(), "b")
	if _, err := redisconn.Backup(t.Context(), src, path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(rule string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := redisconn.VerifyBackup(path); err == nil {
			t.Errorf("%s: not found", rule)
		}
		if _, err := redisconn.RestoreBackup(t.Context(), path, src); err == nil {
			t.Errorf("%s: restored", rule)
		}
	}
	for i := 0; i < len(whole); i += len(whole) / 40 {
		flipped := append([]byte{}, whole...)
		flipped[i] ^= 0x20
		damaged(fmt.Sprintf("byte %d flipped", i), flipped)
		damaged(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	damaged("bytes appended", append(append([]byte{}, whole...), 'x'))
}

func TestBackupRefusesOtherDatabases(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	if err := c.Do(t.Context(), "EVAL",
		"redis.call('SELECT', 3) return redis.call('SET', 'k', 'v')", 0).Err(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b")
	if _, err := redisconn.Backup(t.Context(), c, path); err == nil {
		t.Error("backed up without database 3")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}
