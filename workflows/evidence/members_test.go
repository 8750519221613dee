package evidence

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// with is a check that covers other members than its facts say.
func (c Check) with(members func([]migration.Member) []migration.Member) Check {
	covers := c.covers
	c.covers = func(raw json.RawMessage) migration.Coverage {
		out := covers(raw)
		out.Members = members(out.Members)
		return out
	}
	return c
}

// Whoever it is of whom a claim does not hold, or nobody knows whether it does: that one alone
// keeps the check from being met, and a person's word counts for the second only.
func TestNoCheckIsMetWithoutEverybodyItCovers(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		for _, row := range rows[c.ID] {
			if row.want != met {
				continue
			}
			facts := json.RawMessage(row.facts)
			all := c.covers(facts).Members
			waivers := make([]migration.Waiver, len(all))
			for i, m := range all {
				waivers[i] = migration.Waiver{Member: m.Key, At: noon, Until: noon.Add(time.Hour)}
			}
			nobody := c.with(func([]migration.Member) []migration.Member { return nil })
			if met, _, _ := nobody.JudgeWaived(facts, waivers, noon); met {
				t.Errorf("%s: %s: met with nobody", c.ID, row.rule)
			}
			for i, m := range all {
				for _, v := range []migration.Verdict{unmet, unknown, stale, ""} {
					one := c.with(func(all []migration.Member) []migration.Member {
						all[i].Verdict = v
						return all
					})
					if met, _, _ := one.Judge(facts); met {
						t.Errorf("%s: %s: met, although %s is %q", c.ID, row.rule, m.Key, v)
					}
					if got, _, _ := one.JudgeWaived(facts, waivers, noon); got == (v == unmet) {
						t.Errorf("%s: %s: waived, %s is %q: %v", c.ID, row.rule, m.Key, v, got)
					}
				}
			}
		}
	}
}

// named are the fields that only say of whom a fact is.
var named = map[string]bool{"instance": true, "queue": true, "side": true, "node": true,
	"address": true, "label": true, "id": true, "title": true, "fault": true, "provider": true}

// A fact that names somebody and says nothing of them meets nothing.
func TestWhoIsOnlyNamedIsNeverMet(t *testing.T) {
	t.Parallel()
	silence := map[string]string{
		Residue: "queues", // of which nothing is said but what is left there
		Quiet:   "nodes",  // of which the window speaks
		Fence:   "knocks", // of others
	}
	for _, c := range All() {
		for _, row := range rows[c.ID] {
			var facts map[string]any
			if row.want != met || json.Unmarshal([]byte(row.facts), &facts) != nil {
				continue
			}
			for field, value := range facts {
				all, _ := value.([]any)
				for i, x := range all {
					said, ok := x.(map[string]any)
					if !ok || silence[c.ID] == field {
						continue
					}
					bare := map[string]any{}
					for k, v := range said {
						if named[k] {
							bare[k] = v
						}
					}
					all[i] = bare
					raw, _ := json.Marshal(facts)
					if met, _, _ := c.Judge(raw); met {
						t.Errorf("%s is met by %s", c.ID, raw)
					}
					all[i] = said
				}
			}
		}
	}
}
