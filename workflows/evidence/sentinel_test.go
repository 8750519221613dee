package evidence

import (
	"encoding/json"

	"github.com/switchyard-dev/switchyard/migration"
)

var readinessRows = []row{
	{
		rule:  "every check passes",
		facts: `{"master":"a:1","checks":[{"id":"x","title":"Quorum","ok":true}]}`,
		want:  migration.Met,
		says:  "master a:1",
	},
	{
		rule: "one check fails",
		facts: `{"checks":[{"ok":true},{"title":"Quorum","ok":false,"measured":"1 sentinel",
			"limit":"2"}]}`,
		want: migration.Unmet,
		says: "Quorum: 1 sentinel (required: 2)",
	},
	{
		rule:  "no check ran",
		facts: `{"master":"a:1","checks":[]}`,
		want:  migration.Unknown,
		says:  "no readiness check ran",
	},
}

// failover gives the facts of a good failover with a change.
func failover(change string) string {
	facts := map[string]any{"kind": "automatic", "old_master": "a", "new_master": "b",
		"election_ms": 2100, "first_write_ms": 2900, "first_add_ms": 3000, "blocked_ms": 2900,
		"recovered_ms": 9000, "acknowledged": 40, "adds": 20}
	if err := json.Unmarshal([]byte(change), &facts); err != nil {
		panic(err)
	}
	raw, _ := json.Marshal(facts)
	return string(raw)
}

var failoverRows = []row{
	{"noticed by itself, within the limit", failover(`{}`), migration.Met,
		"writes resumed in 2.9 s"},
	{"adds were never interrupted", failover(`{"first_add_ms":0}`), migration.Met, "0.0 s"},
	{"exactly at the limits", failover(`{"first_write_ms":30000,"first_add_ms":30000,
		"blocked_ms":30000,"recovered_ms":180000,"acknowledged":10,"adds":5}`), migration.Met,
		"30.0 s"},
	{"writes too late", failover(`{"first_write_ms":30001}`), migration.Unmet,
		"writes resumed after 30.0 s (limit 30 s)"},
	{"adds too late", failover(`{"first_add_ms":30001}`), migration.Unmet, "limit 30 s"},
	{"adds that never came back", failover(`{"first_add_ms":{"at_least":30000}}`),
		migration.Unmet, "BullMQ adds resumed after at least 30.0 s (limit 30 s)"},
	{"adds that were not waited for", failover(`{"first_add_ms":{"at_least":2000}}`),
		migration.Unknown, "at least 2.0 s"},
	{"adds that nobody saw", failover(`{"first_add_ms":null}`), migration.Unknown,
		"not observed"},
	{"a projection is no measurement", failover(`{"first_add_ms":{"projected":1,"base":"x"}}`),
		migration.Unknown, "projected"},
	{"blocked for long", failover(`{"blocked_ms":600000}`), migration.Unmet,
		"writes were blocked for 600.0 s"},
	{"of a version that did not measure how long writes were blocked",
		failover(`{"blocked_ms":null}`), migration.Unknown, "run the test again"},
	{"the old primary came back late", failover(`{"recovered_ms":180001}`), migration.Unmet,
		"limit 180 s"},
	{"the old primary was not seen to come back", failover(`{"recovered_ms":null}`),
		migration.Unknown, "not observed"},
	{"of two times that nobody saw the first is named",
		failover(`{"first_write_ms":null,"blocked_ms":null}`), migration.Unknown,
		"writes resumed after: not observed"},
	{"nobody says who became primary", failover(`{"new_master":""}`), migration.Unmet,
		"no new primary"},
	{"no job was followed", failover(`{"adds":0}`), migration.Unknown, "known of 0, 5 needed"},
	{"too few jobs were followed", failover(`{"adds":4}`), migration.Unknown, "5 needed"},
	{"an acknowledged job never ran", failover(`{"lost_adds":1}`), migration.Unmet,
		"1 of 20 jobs"},
	{"an acknowledged write was lost", failover(`{"lost_acknowledged":1}`), migration.Unmet,
		"1 of 40 acknowledged writes were lost"},
	{"no new primary", failover(`{"new_master":"a"}`), migration.Unmet, "no new primary"},
	{"a planned failover shows nothing", failover(`{"kind":"planned"}`), migration.Unknown,
		"planned failover"},
	{"no write was acknowledged", failover(`{"acknowledged":0}`), migration.Unknown,
		"acknowledged 0 writes"},
	{"too few writes were acknowledged", failover(`{"acknowledged":9}`), migration.Unknown,
		"10 needed"},
}
