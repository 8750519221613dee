package rdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn/rdb"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// all is no limit.
const all = 1 << 40

// snapshot makes a server write a snapshot of its data, and returns the file.
func snapshot(t testing.TB, s *redistest.Server, c redis.UniversalClient) []byte {
	t.Helper()
	if err := c.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encodings are servers that store the same values in different encodings.
var encodings = map[string][]string{
	"as configured by default": nil,
	"nothing compressed, nothing packed": {"rdbcompression no", "hash-max-listpack-entries 0",
		"zset-max-listpack-entries 0", "set-max-intset-entries 0",
		"list-max-listpack-size 1"},
	"everything packed": {"hash-max-listpack-entries 100000", "hash-max-listpack-value 100000",
		"zset-max-listpack-entries 100000",
		"zset-max-listpack-value 100000", "set-max-intset-entries 100000",
		"list-compress-depth 1", "rdbchecksum no"},
}

func TestValuesOfASnapshotAreThoseOfDUMP(t *testing.T) {
	t.Parallel()
	for name, config := range encodings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Config(config...))
			c := s.Client()
			redistest.FillRandom(t, c, 1, 800)
			if err := c.Do(t.Context(), "FUNCTION", "LOAD",
				"#!lua name=lib\nredis.register_function('f', function() return 1 end)").
				Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.Do(t.Context(), "EVAL",
				"redis.call('SELECT', 3) return redis.call('SET', 'elsewhere', 'v')",
				0).Err(); err != nil {
				t.Fatal(err)
			}
			file := snapshot(t, s, c)
			for kind, src := range map[string]io.Reader{"at once": bytes.NewReader(file),
				"byte by byte": iotest.OneByteReader(bytes.NewReader(file))} {
				r, err := rdb.NewReader(src, all)
				if err != nil {
					t.Fatal(err)
				}
				keys, elsewhere := int64(0), 0
				for {
					e, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatalf("%s: %v", kind, err)
					}
					if e.DB == 3 {
						elsewhere++
						continue
					}
					keys++
					want, err := c.Dump(t.Context(), string(e.Key)).Result()
					if err != nil {
						t.Fatalf("%s: key %q: %v", kind, e.Key, err)
					}
					if got := rdb.AppendPayload(nil, e.Value,
						r.Version()); string(got) != want {
						t.Fatalf("%s: key %q: got %.100q, DUMP gives %.100q", kind,
							e.Key, got, want)
					}
					if at := c.Do(t.Context(), "PEXPIRETIME", e.Key).Val().(int64); max(at,
						0) != e.ExpireAt {
						t.Fatalf("%s: key %q expires at %d, the snapshot says %d", kind, e.Key,
							at, e.ExpireAt)
					}
				}
				if size := c.DBSize(t.Context()).Val(); keys != size || elsewhere != 1 ||
					r.Libraries() != 1 {
					t.Errorf("%s: %d keys of %d, %d of 1 elsewhere, %d of 1 libraries", kind,
						keys, size, elsewhere, r.Libraries())
				}
				if r.Offset() != int64(len(file)) {
					t.Errorf("%s: %d bytes read of %d", kind, r.Offset(), len(file))
				}
			}
		})
	}
}

func TestValuesAboveTheLimitAreWalkedOver(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	c.Set(t.Context(), "big", strings.Repeat("\x00\x01\x02", 1_000_000), 0)
	for i := range 5000 {
		c.RPush(t.Context(), "list", fmt.Sprintf("%d %0300d", i, i))
	}
	c.Set(t.Context(), "small", "v", 0)
	c.ConfigSet(t.Context(), "rdbcompression", "no")
	r, err := rdb.NewReader(bytes.NewReader(snapshot(t, s, c)), 1000)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if (e.Value == nil) != (e.Size > 1000) {
			t.Errorf("key %s of %d bytes: value %v", e.Key, e.Size, e.Value != nil)
		}
		sizes[string(e.Key)] = e.Size
	}
	if len(sizes) != 3 || sizes["big"] < 3_000_000 || sizes["list"] < 1_500_000 ||
		sizes["small"] != 3 {
		t.Errorf("got %v", sizes)
	}
}

func TestWhatFollowsASnapshotCanBeRead(t *testing.T) {
	t.Parallel()
	r, err := rdb.NewReader(
		strings.NewReader("REDIS0010\xff\x00\x00\x00\x00\x00\x00\x00\x00mark"), all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "mark" {
		t.Errorf("got %q %v", rest, err)
	}
}

func TestADamagedSnapshotIsAnError(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := s.Client()
	redistest.FillRandom(t, c, 2, 60)
	file := snapshot(t, s, c)
	if err := walk(file); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(file); i += 1 + len(file)/500 {
		flipped := bytes.Clone(file)
		flipped[i] ^= 0x20
		if walk(flipped) == nil {
			t.Errorf("byte %d of %d flipped: not found", i, len(file))
		}
		if err := walk(file[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestAPartOfANewerFormatIsSaidToBeUnknown(t *testing.T) {
	t.Parallel()
	for rule, bytes := range map[string]string{"opcode": "REDIS0010\xf3",
		"type": "REDIS0010\x64\x01k", "string encoding": "REDIS0010\x00\x01k\xc9"} {
		if err := walk([]byte(bytes)); !errors.Is(err, rdb.ErrUnknown) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// The encodings that Redis 7.0 does not write, from rdb.c of the versions that do:
// 7.4 for hashes whose fields expire, 3.0 for scores as text.
func TestFormsOfOtherVersionsAreWalkedOver(t *testing.T) {
	t.Parallel()
	eight := "\x01\x02\x03\x04\x05\x06\x07\x08"
	for kind, value := range map[byte]string{
		3: "\x02\x01a\xff\x01b\x031.5",
		21: "\x01\x10" + eight + eight + "\x03abc" + "\x01\x00\x01\x00\x01\x00\x00\x01" +
			"\x01\x01g\x00\x01\x01" + "\x01" + eight + eight + eight + "\x01" + "\x01\x01c" +
			eight + eight + "\x01" + eight + eight,
		24: eight + "\x01\x05\x01f\x01v",
		25: eight + "\x03abc",
		7: "\x81" + eight + "\x01\x05\x02\x06\x03\x01\x02\x03\x04\x04" + eight +
			"\x05\x01s\x00",
	} {
		file := "REDIS0012" + string(rune(kind)) + "\x01k" + value + "\x00\x01z\x01y\xff" +
			string(make([]byte, 8))
		r, err := rdb.NewReader(strings.NewReader(file), all)
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Next()
		if err != nil || string(e.Value) != string(rune(kind))+value {
			t.Errorf("type %d: got %q %v", kind, e.Value, err)
		}
		if e, err = r.Next(); err != nil || string(e.Key) != "z" {
			t.Errorf("after type %d: got %q %v", kind, e.Key, err)
		}
	}
}

func TestChecksumIsRedisOwn(t *testing.T) {
	t.Parallel()
	if got := rdb.CRC64(0, []byte("123456789")); got != 0xe9c6d914c4b8d9ca { // crc64.c
		t.Errorf("got %#x", got)
	}
	if got := rdb.CRC64(rdb.CRC64(0, []byte("12345678901")),
		[]byte("2345")); got != rdb.CRC64(0, []byte("123456789012345")) {
		t.Errorf("in two parts: got %#x", got)
	}
}

func walk(file []byte) error {
	r, err := rdb.NewReader(bytes.NewReader(file), all)
	for err == nil {
		_, err = r.Next()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Whatever the bytes are, the reader terminates, does not read past the end, and
// every value it returns is a part of the input.
func FuzzReader(f *testing.F) {
	// what FillRandom leaves on Redis 7.0.15: a key of every type
	file, err := os.ReadFile("testdata/redis-7.0.rdb")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file, uint16(100))
	f.Add([]byte("REDIS0010\xfe\x00\xfb\x01\x00\xfc\x01\x02\x03\x04\x05\x06\x07\x08\x00\xc3\x04\x09\x01ab\xe0\x00\x01\x03abc\xff"), uint16(10))
	f.Add([]byte("REDIS0010\x05\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a"), uint16(0))
	f.Add([]byte("REDIS0010\x18\x01k\x01\x02\x03\x04\x05\x06\x07\x08\x01\x05\x01f\x01v\xff"),
		uint16(9))
	f.Fuzz(func(t *testing.T, file []byte, limit uint16) {
		r, err := rdb.NewReader(bytes.NewReader(file), int64(limit))
		for err == nil {
			var e rdb.Entry
			e, err = r.Next()
			if err != nil {
				break
			}
			if int64(len(e.Value)) > int64(limit) ||
				e.Value != nil && int64(len(e.Value)) != e.Size {
				t.Fatalf("%d bytes given of %d, limit %d", len(e.Value), e.Size, limit)
			}
			if len(e.Value) > 1 && !bytes.Contains(file, e.Value[1:]) {
				t.Fatalf("%q is not in the input", e.Value)
			}
			if p := rdb.AppendPayload(nil, e.Value, r.Version()); rdb.CRC64(0,
				p[:len(p)-8]) != binary.LittleEndian.Uint64(p[len(p)-8:]) {
				t.Fatal("the payload's checksum is not its own")
			}
		}
		if r != nil && r.Offset() > int64(len(file)) {
			t.Fatalf("read %d bytes of %d", r.Offset(), len(file))
		}
	})
}
