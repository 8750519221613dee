package keycopy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

func TestEveryReasonAgainstACopyIsGivenAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from := server(t).Client()
	from.Set(ctx, "big", strings.Repeat("x", 8<<20), 0)
	dst := server(t, "maxmemory 4mb", "maxmemory-policy allkeys-lru")
	to := dst.Client()
	to.Set(ctx, "k", "v", 0)
	p, err := keycopy.Check(ctx, from, to, keycopy.Options{Path: "teleport"})
	if err != nil || len(p.Refusals) != 4 {
		t.Fatalf("got %q %v", p.Refusals, err)
	}
	all := strings.Join(p.Refusals, "\n")
	for _, want := range []string{"holds 1 keys", "allkeys-lru", "4 MiB", `"teleport"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %s", want, all)
		}
	}
	if _, err := keycopy.Copy(ctx, from, to,
		keycopy.Options{}); migration.KindOf(err) != migration.Blocked ||
		to.Get(ctx, "k").Val() != "v" || to.DBSize(ctx).Val() != 1 {
		t.Errorf("got %v", err)
	}
	if p, err := keycopy.Check(ctx, from, from, keycopy.Options{Overwrite: true}); err != nil ||
		len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "same server") {
		t.Errorf("same server: got %q %v", p.Refusals, err)
	}
	to.ConfigSet(ctx, "maxmemory", "0")
	to.ConfigSet(ctx, "maxmemory-policy", "noeviction")
	if p, err := keycopy.Check(ctx, from, to, keycopy.Options{Overwrite: true}); err != nil ||
		len(p.Refusals) != 0 {
		t.Errorf("nothing is wrong any more: got %q %v", p.Refusals, err)
	}
	if p, err := keycopy.Check(ctx, from, to, keycopy.Options{Overwrite: true,
		TargetMemory: 1 << 20}); err != nil || len(p.Refusals) != 1 {
		t.Errorf("a plan of 1 MB: got %q %v", p.Refusals, err)
	}
}

func TestAReplicaIsNoTarget(t *testing.T) {
	t.Parallel()
	from, master, replica := server(t), server(t), server(t)
	to := replica.Client()
	if err := to.Do(t.Context(), "REPLICAOF", master.Host, master.Port).Err(); err != nil {
		t.Fatal(err)
	}
	if p, err := keycopy.Check(t.Context(), from.Client(), to, keycopy.Options{}); err != nil ||
		len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "replica of "+master.Host) {
		t.Errorf("got %q %v", p.Refusals, err)
	}
}

func TestATargetThatBecomesFullIsSaidToBeFull(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	for i := range 100 {
		from.Set(t.Context(), fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 30_000), 0)
	}
	limit := func(context.Context) error {
		return to.ConfigSet(t.Context(), "maxmemory", "3mb").Err()
	}
	for _, path := range paths {
		to.ConfigSet(t.Context(), "maxmemory", "0")
		to.FlushAll(t.Context())
		_, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path, Pace: keycopy.Pace{Gate: limit}})
		if path == keycopy.Stream && err == nil {
			continue // everything was sent before the gate was asked again
		}
		if migration.KindOf(err) != migration.Blocked ||
			!strings.Contains(err.Error(), "full") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
