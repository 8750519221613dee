package keycopy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
)

// A mirror compares the keys that it is told to, says of each whether it is the same and there,
// and shows the source's values of those that the target has too, of each all.
func TestAMirrorSaysOfEachKeyWhetherItIsTheSame(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	ctx := t.Context()
	kinds := fill(t, from, rand.New(rand.NewPCG(2, 2)), true)
	restoreAll(t, from, to, kinds)
	for _, k := range []string{"gone", "less", "value", "expiry", "type"} {
		from.Set(ctx, k, "v-"+k, 0)
		to.Set(ctx, k, "v-"+k, 0)
		kinds[k] = "string"
	}
	from.Del(ctx, "gone", "more")
	to.Del(ctx, "gone", "less")
	to.Set(ctx, "more", "v", 0)
	kinds["more"] = "string"
	to.Set(ctx, "value", "w", 0)
	to.PExpireAt(ctx, "expiry", time.UnixMilli(4_102_444_800_000))
	to.Del(ctx, "type")
	to.RPush(ctx, "type", "v")
	p := pace.New(pace.Pace{}, pace.Work{Source: from, Batch: 500, PerSource: 2, PerTarget: 2})
	var mu sync.Mutex
	seen := map[string][]string{}
	m := keycopy.NewMirror(ctx, from, to, keycopy.Scan, p, func(key, kind string, parts [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		if kind != kinds[key] {
			t.Errorf("%s is shown as a %s", key, kind)
		}
		for _, part := range parts {
			seen[key] = append(seen[key], string(part))
		}
	})
	p.Start(ctx)
	defer p.End()
	got := map[string]string{}
	if err := m.Compare(ctx, slices.Sorted(maps.Keys(kinds)), func(key string, same, there bool) {
		got[key] = fmt.Sprint(same, " ", there)
	}); err != nil {
		t.Fatal(err)
	}
	different := map[string]string{"gone": "true false", "more": "false false", "less": "false true",
		"value": "false true", "expiry": "false true", "type": "false true"}
	for k, kind := range kinds {
		want, ok := different[k]
		if !ok {
			want = "true true"
		}
		if got[k] != want {
			t.Errorf("%s: %s, want %s", k, got[k], want)
		}
		shown := !slices.Contains([]string{"gone", "more", "less", "value", "type"}, k) &&
			kind != "stream"
		parts, there := seen[k]
		if there != shown {
			t.Errorf("%s of %s is shown: %v", kind, k, there)
			continue
		}
		if !shown {
			continue
		}
		var values []string
		switch kind {
		case "string":
			parts, values = []string{strings.Join(parts, "")}, []string{from.Get(ctx, k).Val()}
		case "list":
			values = from.LRange(ctx, k, 0, -1).Val()
		case "set":
			values = from.SMembers(ctx, k).Val()
		case "zset":
			parts, values = firsts(parts), from.ZRange(ctx, k, 0, -1).Val()
		case "hash":
			parts, values = firsts(parts), from.HKeys(ctx, k).Val()
		}
		if kind != "list" {
			slices.Sort(parts)
			slices.Sort(values)
		}
		if !slices.Equal(parts, values) {
			t.Errorf("%s of %s: %.100q is shown", kind, k, parts)
		}
	}
	if p.Keys.Load() != 0 {
		t.Errorf("%d keys were counted, which the caller does", p.Keys.Load())
	}
}

// firsts are the first of each pair.
func firsts(parts []string) (out []string) {
	for i := 0; i < len(parts); i += 2 {
		out = append(out, parts[i])
	}
	return out
}
