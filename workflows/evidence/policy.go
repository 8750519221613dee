package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Policy is the id of the check of the eviction policy.
const Policy = "maxmemory-policy"

var policyCheck = New(Check{
	ID:      Policy,
	Title:   "Eviction policy",
	Limit:   "noeviction on every node that holds jobs",
	Next:    "run the step Fix the eviction policy",
	Before:  migration.StageDualWrite,
	MaxAge:  15 * time.Minute,
	About:   []migration.Aspect{migration.AspectNodes},
	Watched: true,
}, coverPolicy, judgePolicy)

// PolicyFacts is the evidence of Policy: the servers that hold jobs, now.
type PolicyFacts struct {
	Nodes []NodePolicy `json:"nodes"`
}

// NodePolicy is the eviction policy of one server.
type NodePolicy struct {
	Node        string `json:"node"` // address without credentials
	Policy      string `json:"policy"`
	ReadBy      string `json:"read_by"`      // CONFIG GET or INFO memory
	EvictedKeys int64  `json:"evicted_keys"` // since the server started
	RunID       string `json:"run_id,omitempty"`
	// EvictedBefore is what EvictedKeys was at the first look, or when the policy was
	// last fixed; 0 after a restart. Nil: it is not known.
	EvictedBefore *int64 `json:"evicted_before,omitempty"`
}

// After carries on what was known of the same node before. With noeviction nothing is
// evicted, so a counter that grew means that the policy was another one in between, maybe
// where nobody looked.
func (n NodePolicy) After(last PolicyFacts) NodePolicy {
	now := n.EvictedKeys
	if now < 0 { // the server does not tell
		return n
	}
	n.EvictedBefore = &now
	for _, l := range last.Nodes {
		if l.Node != n.Node || l.EvictedBefore == nil {
			continue
		}
		if before := *l.EvictedBefore; l.RunID == n.RunID {
			n.EvictedBefore = &before
		} else { // it counts from 0 again
			n.EvictedBefore = new(int64)
		}
	}
	return n
}

func coverPolicy(f PolicyFacts) migration.Coverage {
	c := migration.Coverage{Of: "server", Found: "the nodes behind the source"}
	for _, n := range f.Nodes {
		m := server(n.Node, migration.Truth(n.Policy == "noeviction" && !n.evicted()), n.Policy)
		if n.Policy == "" {
			m.Verdict, m.Why = migration.Unknown, "its policy cannot be read"
		}
		c.Members = append(c.Members, m)
	}
	return c
}

// evicted reports whether keys were evicted since the first look or the last fix.
func (n NodePolicy) evicted() bool {
	return n.EvictedBefore != nil && n.EvictedKeys > *n.EvictedBefore
}

func judgePolicy(f PolicyFacts) (bool, string, error) {
	if len(f.Nodes) == 0 {
		return false, "", errors.New("no server was read")
	}
	var bad, good []string
	for _, n := range f.Nodes {
		if n.Policy == "noeviction" && n.evicted() {
			bad = append(bad, fmt.Sprintf("%s is noeviction, but has evicted %s since the first "+
				"check or the last fix: jobs may be lost",
				n.Node, migration.Count(n.EvictedKeys-*n.EvictedBefore, "key")))
			continue
		}
		if n.Policy == "noeviction" {
			good = append(good, n.Node)
			continue
		}
		policy := n.Policy
		if policy == "" {
			policy = "not readable"
		}
		bad = append(bad, fmt.Sprintf("%s is %s (%s evicted since it started)",
			n.Node, policy, migration.Count(n.EvictedKeys, "key")))
	}
	if len(bad) > 0 {
		return false, "maxmemory-policy: " + list(bad), nil
	}
	return true, "maxmemory-policy is noeviction on " + list(good), nil
}
