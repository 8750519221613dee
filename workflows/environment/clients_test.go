package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/fleet"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// onServer is a rig whose single Redis is there.
func onServer(t *testing.T) (*rig, *redistest.Server) {
	t.Helper()
	s := redistest.Start(t)
	cfg := config.Default()
	cfg.Source.Standalone.URL = migration.Secret(s.URL())
	r := openRig(t, cfg)
	r.clk.advance(10 * time.Second) // warm
	return r, s
}

// app opens a connection that is not Switchyard's, and gives its id and the server's run id.
func app(t *testing.T, s *redistest.Server, name string) (id int64, runID string, end func()) {
	t.Helper()
	c := s.Foreign(name)
	conn := c.Conn()
	id, err := conn.ClientID(t.Context()).Result()
	ok(t, err)
	runID, err = redisconn.RunID(t.Context(), s.Client())
	ok(t, err)
	return id, runID, func() { _, _ = conn.Close(), c.Close() }
}

var local = fleet.Who{Set: mid, KeyID: "k1", Key: "worker_token", Address: "127.0.0.1"}

func (r *rig) says(t *testing.T, who fleet.Who, a fleet.Attestation) {
	t.Helper()
	if a.Service == "" {
		a.Service = "shop"
	}
	ok(t, r.Workers.Attest(a, who))
}

func (r *rig) connected(t *testing.T) migration.Gate {
	t.Helper()
	return r.Clients.Gate(t.Context(), mid, r.Clients.Source)
}

func TestEverybodyOnAServerIsKnownOrBlocks(t *testing.T) {
	t.Parallel()
	producer := func(ids []int64, runID string) []fleet.Connection {
		return []fleet.Connection{{Side: "source", Role: "producer", Queue: "orders",
			Status: "ready", ClientIDs: ids, RunID: runID,
			Options: map[string]json.RawMessage{"connectionName": json.RawMessage(`"shop-orders"`)}}}
	}
	for _, tc := range []struct {
		rule string
		do   func(t *testing.T, r *rig, s *redistest.Server)
		want migration.Verdict
		says string
	}{
		{"nobody but us", func(*testing.T, *rig, *redistest.Server) {}, migration.Met, "1 of 1 client"},
		{"a second app", func(t *testing.T, _ *rig, s *redistest.Server) {
			app(t, s, "reports")
		}, migration.Unknown, "reports on 127.0.0.1"},
		{"an app that calls itself Switchyard", func(t *testing.T, _ *rig, s *redistest.Server) {
			app(t, s, "switchyard")
		}, migration.Unknown, "switchyard on"},
		{"a worker that attests the connection", func(t *testing.T, r *rig, s *redistest.Server) {
			id, runID, _ := app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1", Connections: producer([]int64{id}, runID)})
		}, migration.Met, "2 of 2"},
		{"a worker whose other connection is refused", func(t *testing.T, r *rig, s *redistest.Server) {
			id, runID, _ := app(t, s, "bull:b3JkZXJz") // on which it blocks
			worker := producer([]int64{id}, runID)
			worker[0].Role, worker[0].Status = "worker", "reconnecting"
			r.says(t, local, fleet.Attestation{Instance: "worker.1", Connections: worker})
		}, migration.Met, "2 of 2"},
		{"an id of the former run of the server", func(t *testing.T, r *rig, s *redistest.Server) {
			id, _, _ := app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1",
				Connections: producer([]int64{id}, "another")})
		}, migration.Unknown, "shop-orders on"},
		{"a second app under the name of the first", func(t *testing.T, r *rig, s *redistest.Server) {
			id, runID, _ := app(t, s, "shop-orders")
			app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1", Connections: producer([]int64{id}, runID)})
		}, migration.Unknown, "shop-orders on"},
		{"a key of another flag set attests it", func(t *testing.T, r *rig, s *redistest.Server) {
			id, runID, _ := app(t, s, "shop-orders")
			r.says(t, fleet.Who{Set: "other", KeyID: "k2", Address: "127.0.0.1"},
				fleet.Attestation{Instance: "web.1", Connections: producer([]int64{id}, runID)})
		}, migration.Unknown, "shop-orders on"},
		{"an app that cannot tell ids: address and name", func(t *testing.T, r *rig, s *redistest.Server) {
			app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1", Connections: producer(nil, "")})
		}, migration.Met, "2 of 2"},
		{"more connections of the name than are attested", func(t *testing.T, r *rig, s *redistest.Server) {
			app(t, s, "shop-orders")
			app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1", Connections: producer(nil, "")})
		}, migration.Unknown, "shop-orders on"},
		{"the name from another address", func(t *testing.T, r *rig, s *redistest.Server) {
			app(t, s, "shop-orders")
			far := local
			far.Address = "10.0.0.1"
			r.says(t, far, fleet.Attestation{Instance: "web.1", Connections: producer(nil, "")})
		}, migration.Unknown, "shop-orders on"},
		{"a worker that is silent and still connected", func(t *testing.T, r *rig, s *redistest.Server) {
			id, runID, _ := app(t, s, "shop-orders")
			r.says(t, local, fleet.Attestation{Instance: "web.1", Connections: producer([]int64{id}, runID)})
			r.clk.advance(time.Minute)
		}, migration.Unknown, "attests no more"},
		{"the server cannot be asked", func(_ *testing.T, _ *rig, s *redistest.Server) {
			s.Kill()
		}, migration.Unknown, "does not list its clients"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r, s := onServer(t)
			tc.do(t, r, s)
			g := r.connected(t)
			if g.Verdict != tc.want || !strings.Contains(g.Measured, tc.says) {
				t.Errorf("%s %q, want %s %q", g.Verdict, g.Measured, tc.want, tc.says)
			}
		})
	}
}

func TestAPersonDecidesToGoOnAlthoughAnotherAppIsConnected(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	app(t, s, "reports")
	g := r.connected(t)
	unknown := g.Asked.Unknown()
	if g.OK || len(unknown) != 1 || !strings.HasPrefix(unknown[0].Key, "client:"+s.Addr()+"/") {
		t.Fatalf("%+v", g)
	}
	now := r.clk.now()
	decided := g.Waive([]migration.Waiver{{Member: unknown[0].Key, By: "ada", At: now,
		Until: now.Add(time.Hour)}}, now)
	if !decided.OK {
		t.Errorf("%+v", decided)
	}
}

func TestWhoIsSilentIsUnknownUntilTheServersShowThatItIsGone(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	gate := func(want migration.Verdict, says string) {
		t.Helper()
		g := r.Workers.Gate(t.Context(), mid, 3, true)
		if g.Verdict != want || !strings.Contains(g.Measured, says) {
			t.Errorf("%s %q, want %s %q", g.Verdict, g.Measured, want, says)
		}
	}
	gate(migration.Unknown, "no live worker reports")
	id, runID, end := app(t, s, "shop-orders")
	held := []fleet.Connection{{Side: "source", Role: "producer", ClientIDs: []int64{id}, RunID: runID}}
	one := fleet.Attestation{Instance: "web.1", Process: "p1", Revision: 3, Connections: held}
	two := fleet.Attestation{Instance: "web.2", Process: "p2", Revision: 3}
	r.says(t, local, one)
	r.says(t, local, two)
	gate(migration.Met, "2 of 2 workers")
	// A key of another flag set says that the worker leaves.
	stranger := one
	stranger.Leaving = true
	r.says(t, fleet.Who{Set: "other", KeyID: "k2", Address: "127.0.0.1"}, stranger)
	gate(migration.Met, "2 of 2 workers")
	r.clk.advance(6 * time.Second)
	r.says(t, local, two)
	gate(migration.Unknown, "silent since")
	one.Leaving, one.Connections = true, nil
	r.says(t, local, one)
	gate(migration.Unknown, "that it leaves")
	end()
	redistest.Eventually(t, patience, func() error {
		r.says(t, local, two)
		if g := r.Workers.Gate(t.Context(), mid, 3, true); !g.OK || len(g.Asked.Members) != 1 {
			return fmt.Errorf("it is gone: %s", g.Measured)
		}
		return nil
	})
	two.Revision = 2
	r.says(t, local, two)
	gate(migration.Unmet, "web.2 (on flag revision 2)")
}

// Another app, or another part of the same, is connected from where a worker ran that left.
func TestWhoLeftInGoodOrderIsGoneAlthoughOthersAreAtItsAddress(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	_, _, endOther := app(t, s, "mailer")
	defer endOther()
	id, runID, end := app(t, s, "shop-orders")
	one := fleet.Attestation{Instance: "web.1", Process: "p1", Revision: 3,
		Connections: []fleet.Connection{{Side: "source", Role: "producer", RunID: runID,
			ClientIDs: []int64{id}, Options: map[string]json.RawMessage{
				"connectionName": json.RawMessage(`"shop-orders"`)}}}}
	two := fleet.Attestation{Instance: "web.1", Process: "p2", Revision: 3}
	is := func(members int, want migration.Verdict) error {
		r.says(t, local, two)
		g := r.Workers.Gate(t.Context(), mid, 3, true)
		if g.Verdict != want || len(g.Asked.Members) != members {
			return fmt.Errorf("%s: %s", g.Verdict, g.Measured)
		}
		return nil
	}
	r.says(t, local, one)
	one.Connections = nil // on its way out it closes them first
	r.says(t, local, one)
	one.Leaving = true
	r.says(t, local, one)
	ok(t, is(2, migration.Unknown))
	end()
	_, _, again := app(t, s, "shop-orders") // it has connected once more
	ok(t, is(2, migration.Unknown))
	again()
	redistest.Eventually(t, patience, func() error { return is(1, migration.Met) })
}

func TestWhoIsSilentIsUnknownWhileAServerCannotBeAsked(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	r.says(t, local, fleet.Attestation{Instance: "web.1", Revision: 3})
	r.clk.advance(time.Minute)
	r.says(t, local, fleet.Attestation{Instance: "web.2", Revision: 3})
	s.Freeze()
	g := r.Workers.Gate(t.Context(), mid, 3, true)
	s.Thaw()
	if g.Verdict != migration.Unknown || len(g.Asked.Unknown()) != 1 {
		t.Errorf("%+v", g)
	}
}

// Who is connected to a server that is asked by nobody else is asked for each step that moves,
// fences, swaps or stops one; here is what each of the sets of servers is.
func TestTheServersThatAreAskedAreThoseThatAreChanged(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	for rule, which := range map[string]NodesOf{"source": r.Clients.Source, "old": r.Clients.Old} {
		nodes, err := which(context.Background(), mid)
		ok(t, err)
		if !slices.ContainsFunc(nodes, func(n Node) bool { return n.Address == s.Addr() }) {
			t.Errorf("%s: %+v", rule, nodes)
		}
		CloseNodes(nodes)
	}
	if _, err := r.Clients.Sentinels(context.Background(), mid); err == nil {
		t.Error("there is no Sentinel deployment")
	}
}
