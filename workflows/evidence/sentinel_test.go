package evidence

import "github.com/switchyard-dev/switchyard/migration"

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
		says: "Quorum: 1 sentinel (want 2)",
	},
	{
		rule:  "no check ran",
		facts: `{"master":"a:1","checks":[]}`,
		want:  migration.Unknown,
		says:  "no readiness check",
	},
}

var failoverRows = []row{
	{
		rule: "noticed by itself, within the limit",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b","election_ms":2100,
			"first_write_ms":2900,"first_add_ms":3000,"acknowledged":40}`,
		want: migration.Met,
		says: "writes resumed in 2.9 s",
	},
	{
		rule: "exactly at the limit",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":30000,
			"first_add_ms":30000,"acknowledged":1}`,
		want: migration.Met,
		says: "30.0 s",
	},
	{
		rule: "writes too late",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":30001,
			"acknowledged":1}`,
		want: migration.Unmet,
		says: "limit 30 s",
	},
	{
		rule: "adds too late",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b","first_write_ms":1,
			"first_add_ms":30001,"acknowledged":1}`,
		want: migration.Unmet,
		says: "limit 30 s",
	},
	{
		rule: "an acknowledged write was lost",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b","acknowledged":40,
			"lost_acknowledged":1}`,
		want: migration.Unmet,
		says: "1 of 40 acknowledged writes were lost",
	},
	{
		rule:  "no new primary",
		facts: `{"kind":"automatic","old_master":"a","new_master":"a","acknowledged":40}`,
		want:  migration.Unmet,
		says:  "no new primary",
	},
	{
		rule:  "a planned failover shows nothing",
		facts: `{"kind":"planned","old_master":"a","new_master":"b","acknowledged":40}`,
		want:  migration.Unknown,
		says:  "planned failover",
	},
	{
		rule:  "no write was acknowledged",
		facts: `{"kind":"automatic","old_master":"a","new_master":"b"}`,
		want:  migration.Unknown,
		says:  "acknowledged no write",
	},
}
