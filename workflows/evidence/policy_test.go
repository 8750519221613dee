package evidence

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

var policyRows = []row{
	{
		rule: "noeviction everywhere",
		facts: `{"nodes":[{"node":"a:1","policy":"noeviction"},{"node":"b:1",
			"policy":"noeviction"}]}`,
		want: migration.Met,
		says: "a:1, b:1",
	},
	{
		rule: "one node of many evicts",
		facts: `{"nodes":[{"node":"a:1","policy":"noeviction"},{"node":"b:1",
			"policy":"volatile-lru","evicted_keys":3}]}`,
		want: migration.Unmet,
		says: "b:1 is volatile-lru (3 keys",
	},
	{
		rule:  "a policy that could not be read does not hold",
		facts: `{"nodes":[{"node":"a:1"}]}`,
		want:  migration.Unmet,
		says:  "not readable",
	},
	{
		rule:  "no server",
		facts: `{"nodes":[]}`,
		want:  migration.Unknown,
		says:  "no server",
	},
	{
		rule: "nothing evicted since the first look",
		facts: `{"nodes":[{"node":"a:1","policy":"noeviction","evicted_keys":40,
			"evicted_before":40}]}`,
		want: migration.Met,
		says: "a:1",
	},
	{
		rule: "evicted since the first look",
		facts: `{"nodes":[{"node":"a:1","policy":"noeviction","evicted_keys":43,
			"evicted_before":40}]}`,
		want: migration.Unmet,
		says: "evicted 3 keys since",
	},
	{
		rule: "a policy that evicts is said before what it evicted",
		facts: `{"nodes":[{"node":"a:1","policy":"allkeys-lru","evicted_keys":43,
			"evicted_before":40}]}`,
		want: migration.Unmet,
		says: "a:1 is allkeys-lru (43 keys evicted since it started)",
	},
}

func TestWhatIsEvictedCountsFromTheFirstLook(t *testing.T) {
	t.Parallel()
	before := func(n int64) *int64 { return &n }
	last := PolicyFacts{
		Nodes: []NodePolicy{
			{
				Node:          "a:1",
				Policy:        "noeviction",
				RunID:         "r1",
				EvictedKeys:   40,
				EvictedBefore: before(30),
			},
		},
	}
	for rule, c := range map[string]struct {
		now  NodePolicy
		last PolicyFacts
		want *int64
	}{
		"the first look begins": {
			now:  NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 40},
			last: PolicyFacts{},
			want: before(40),
		},
		"later ones go on": {
			now:  NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 50},
			last: last,
			want: before(30),
		},
		"another policy goes on, too": {
			now:  NodePolicy{Node: "a:1", Policy: "allkeys-lru", RunID: "r1", EvictedKeys: 50},
			last: last,
			want: before(30),
		},
		"a restarted server counts from 0": {
			now:  NodePolicy{Node: "a:1", Policy: "noeviction", RunID: "r2", EvictedKeys: 5},
			last: last,
			want: before(0),
		},
		"another node begins": {
			now:  NodePolicy{Node: "b:1", Policy: "noeviction", RunID: "r1", EvictedKeys: 7},
			last: last,
			want: before(7),
		},
		"each node goes on by itself": {
			now: NodePolicy{Node: "b:1", Policy: "noeviction", EvictedKeys: 9},
			last: PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", EvictedBefore: before(1)},
				{Node: "b:1", EvictedBefore: before(2)}}},
			want: before(2),
		},
		"wherever it was in the list": {
			now: NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: 9},
			last: PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", EvictedBefore: before(1)},
				{Node: "b:1", EvictedBefore: before(2)}}},
			want: before(1),
		},
		"whatever the policy was then": {
			now: NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: 9},
			last: PolicyFacts{Nodes: []NodePolicy{
				{Node: "a:1", Policy: "allkeys-lru", EvictedBefore: before(1)},
			}},
			want: before(1),
		},
		"facts of an older version begin": {
			now:  NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: 9},
			last: PolicyFacts{Nodes: []NodePolicy{{Node: "a:1", Policy: "noeviction"}}},
			want: before(9),
		},
		"a server that does not tell is let be": {
			now:  NodePolicy{Node: "a:1", Policy: "noeviction", EvictedKeys: -1},
			last: last,
		},
	} {
		got := c.now.After(c.last).EvictedBefore
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %v", rule, got)
		}
	}
}
