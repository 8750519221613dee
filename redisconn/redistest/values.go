package redistest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// FillRandom writes n keys of every type and, through their sizes, every encoding
// (int, embstr, raw; listpack and quicklist with packed and plain nodes; intset,
// listpack or hashtable; listpack and skiplist; streams with groups, consumers,
// pending and deleted entries), with binary, empty, compressible and numeric
// content. A quarter has an expiry, none within the hour. The same seed gives the
// same keys and values except for expiry and stream delivery times.
func FillRandom(t testing.TB, c redis.UniversalClient, seed uint64, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	ctx := t.Context()
	now := time.Now()
	for at := 0; at < n; at += 50 {
		cmds, _ := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := at; i < min(at+50, n); i++ {
				key := randomKey(r, i)
				randomValue(t, p, r, key)
				if r.IntN(4) == 0 {
					p.PExpireAt(ctx, key,
						now.Add(time.Hour+time.Duration(r.Int64N(int64(1000*time.Hour)))))
				}
			}
			return nil
		})
		for _, cmd := range cmds {
			// nil: nothing was left to read in a group
			if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
				t.Fatalf("redistest: fill: %v", err)
			}
		}
	}
}

func randomKey(r *rand.Rand, i int) string {
	switch r.IntN(5) {
	case 0:
		return strconv.Itoa(i) // stored as a number in a snapshot
	case 1:
		return fmt.Sprintf("%s:%d", strings.Repeat("compressible", 1+r.IntN(20)), i)
	case 2:
		return fmt.Sprintf("%s\x00\r\n%d", randomBytes(r, r.IntN(30)), i)
	case 3:
		return fmt.Sprint(int32(r.Uint32()), i)
	default:
		return fmt.Sprintf("bull:q:%d", i)
	}
}

func randomBytes(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// randomElement is rarely large: a few of 10 to 20 KB make plain nodes and strings
// that take several reads.
func randomElement(r *rand.Rand) string {
	switch r.IntN(12) {
	case 0:
		return ""
	case 1:
		return strconv.Itoa(r.IntN(256) - 128)
	case 2:
		return strconv.FormatInt(r.Int64()>>r.IntN(63), 10)
	case 3:
		return randomBytes(r, r.IntN(100))
	case 4:
		return strings.Repeat("ab", r.IntN(100))
	case 5:
		return "\r\n$-1\r\n"
	case 6:
		if r.IntN(20) == 0 {
			return randomBytes(r, 10_000+r.IntN(10_000))
		}
		return "x"
	default:
		return fmt.Sprintf(`{"order":%d}`, r.IntN(1000))
	}
}

//nolint:contextcheck // it has the test's
func randomValue(t testing.TB, p redis.Pipeliner, r *rand.Rand, key string) {
	ctx := t.Context()
	n := []int{1, 2, 5, 60, 200, 700}[r.IntN(6)]
	args := func(command string, element func(i int) []any) {
		a := []any{command, key}
		for i := range n {
			a = append(a, element(i)...)
		}
		p.Do(ctx, a...)
	}
	switch r.IntN(8) {
	case 0:
		p.Set(ctx, key, randomElement(r), 0)
	case 1:
		p.Set(ctx, key, strings.Repeat(randomElement(r), 1+r.IntN(100)), 0)
	case 2:
		args("RPUSH", func(int) []any { return []any{randomElement(r)} })
	case 3:
		args("HSET", func(i int) []any {
			return []any{fmt.Sprint(i%3, randomElement(r)), randomElement(r)}
		})
	case 4:
		args("SADD", func(int) []any { return []any{r.Int64() >> r.IntN(63)} })
	case 5:
		args("SADD", func(int) []any { return []any{randomElement(r)} })
	case 6:
		args("ZADD", func(i int) []any {
			score := []any{i, r.Float64(), r.NormFloat64() * 1e18, "inf", "-inf", 1.1e-300,
				4096 * float64(r.IntN(1<<40))}[r.IntN(7)]
			return []any{score, randomElement(r)}
		})
	default:
		randomStream(t, p, r, key, n)
	}
}

// randomStream may end without entries, with entries deleted in between, and with
// pending entries that were deleted.
//
//nolint:contextcheck // it has the test's
func randomStream(t testing.TB, p redis.Pipeliner, r *rand.Rand, key string, n int) {
	ctx := t.Context()
	for i := range n {
		values := []any{"event", randomElement(r)}
		if r.IntN(3) == 0 {
			values = append(values, randomElement(r), randomElement(r))
		}
		p.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-%d", 1+i/3, 1+i%3),
			Values: values})
	}
	for g := range r.IntN(3) {
		group := fmt.Sprint("g", g, randomElement(r))
		p.XGroupCreate(ctx, key, group, "0")
		p.XGroupCreateConsumer(ctx, key, group, "idle")
		for range r.IntN(3) {
			p.Do(ctx, "XREADGROUP", "GROUP", group, fmt.Sprint("c", r.IntN(2)), "COUNT",
				1+r.IntN(20), "STREAMS", key, ">")
			p.Do(ctx, "XACK", key, group, "1-1", "1-3")
		}
	}
	switch r.IntN(3) {
	case 0:
		p.XDel(ctx, key, "1-2", "2-1", "3-3")
	case 1:
		p.XTrimMaxLen(ctx, key, int64(r.IntN(3)))
	}
}
