package decommission

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Servers go by the configuration, and only one of them was looked into.
func TestAServerThatHoldsWhatTheSourceDoesNotIsNamedBeforeItGoes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		make func(t *testing.T, source, other *redistest.Server)
		says string // "": it may go
	}{
		{"a replica of the source", func(t *testing.T, s, o *redistest.Server) { follow(t, o, s) }, ""},
		{"an empty server", func(*testing.T, *redistest.Server, *redistest.Server) {}, ""},
		{"a replica that was promoted", func(t *testing.T, s, o *redistest.Server) {
			follow(t, o, s)
			ok(t, o.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
		}, "a primary of its own with 1 key"},
		{"a primary that was never used", func(t *testing.T, _, o *redistest.Server) {
			ok(t, o.Client().LPush(t.Context(), "bull:forgotten:wait", "1").Err())
		}, "a primary of its own with 1 key"},
		{"jobs in its second database alone", func(t *testing.T, _, o *redistest.Server) {
			ok(t, errors.Join(o.Client().Set(t.Context(), "k", "v", 0).Err(),
				o.Client().Do(t.Context(), "SWAPDB", 0, 1).Err()))
		}, "a primary of its own with 1 key"},
		{"a replica of another server", func(t *testing.T, _, o *redistest.Server) {
			third := redistest.Start(t)
			ok(t, third.Client().Set(t.Context(), "k", "v", 0).Err())
			follow(t, o, third)
		}, "a replica of other data"},
		{"a replica whose link is down", func(t *testing.T, s, o *redistest.Server) {
			follow(t, o, s)
			ok(t, o.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
		}, "a replica whose link is down"},
		{"one that does not answer", func(_ *testing.T, _, o *redistest.Server) { o.Kill() },
			"127.0.0.1"},
		{"the source does not answer", func(t *testing.T, s, o *redistest.Server) {
			follow(t, o, s)
			s.Kill()
		}, "127.0.0.1"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			source, other := redistest.Start(t), redistest.Start(t)
			ok(t, source.Client().Set(t.Context(), "bull:orders:meta", "v", 0).Err())
			tc.make(t, source, other)
			nodes := []environment.Node{{Address: source.Addr(), Client: source.Client()},
				{Address: other.Addr(), Client: other.Client()}}
			g := copies(t.Context(), source.Addr(), nodes, nil)
			if tc.says == "" && !g.OK {
				t.Errorf("%+v", g)
			}
			if tc.says != "" && (g.OK || g.Verdict != migration.Unknown ||
				!strings.Contains(g.Asked.String(), tc.says)) {
				t.Errorf("it does not say %q: %+v", tc.says, g)
			}
		})
	}
	for rule, g := range map[string]migration.Gate{
		"nobody knows which they are": copies(t.Context(), "", nil, errors.New("no sentinel answers")),
		"the primary is none of them": copies(t.Context(), "10.0.0.9:6379",
			[]environment.Node{{Address: "127.0.0.1:1", Client: redistest.Start(t).Client()}}, nil),
		"none": copies(t.Context(), "10.0.0.9:6379", nil, nil),
	} {
		if g.OK {
			t.Errorf("%s: %+v", rule, g)
		}
	}
}

// follow makes a server a replica of another, and waits until it holds the same.
func follow(t *testing.T, replica, of *redistest.Server) {
	t.Helper()
	c := replica.Client()
	ok(t, c.Do(t.Context(), "REPLICAOF", "127.0.0.1", of.Port).Err())
	redistest.Eventually(t, patience, func() error {
		info, err := c.Info(t.Context(), "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = fmt.Errorf("%s", info)
		}
		return err
	})
}
