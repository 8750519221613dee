package evidence

import "github.com/switchyard-dev/switchyard/migration"

var backupRows = []row{
	{
		rule:  "equal when read back",
		facts: `{"file":"a.gz","keys":12,"sha256":"ab","verified":true}`,
		want:  migration.Met,
		says:  "12 keys",
	},
	{
		rule:  "of an empty server",
		facts: `{"file":"a.gz","sha256":"ab","verified":true}`,
		want:  migration.Unknown,
		says:  "it held no key",
	},
	{
		rule: "restored",
		facts: `{"file":"a.rdb","method":"replication","keys":12,"sha256":"ab","verified":true,
			"restored":true}`,
		want: migration.Met,
		says: "restored into a scratch server",
	},
	{
		rule: "only read back",
		facts: `{"file":"a.dump","keys":12,"sha256":"ab","verified":true,
			"not_restored":"no redis-server"}`,
		want: migration.Met,
		says: "not restored into a server: no redis-server",
	},
	{
		rule: "the only copy",
		facts: `{"file":"a.rdb","method":"replication","keys":12,"sha256":"ab","verified":true,
			"restored":true,"no_snapshot":"no host takes one"}`,
		want: migration.Met,
		says: "0 differences; the file is the only copy: no host takes one",
	},
	{
		rule: "differs and is the only copy",
		facts: `{"file":"a.rdb","keys":12,"sha256":"ab","verified":true,"differences":1,
			"no_snapshot":"no host takes one"}`,
		want: migration.Unmet,
		says: "differs from the source in 1 keys",
	},
	{
		rule: "differs and names a key",
		facts: `{"file":"a.rdb","keys":12,"sha256":"ab","verified":true,"restored":true,
			"differences":1,"examples":["value: bull:q:1"]}`,
		want: migration.Unmet,
		says: "value: bull:q:1",
	},
	{
		rule:  "not read back",
		facts: `{"file":"a.gz","keys":12,"sha256":"ab"}`,
		want:  migration.Unmet,
		says:  "differs",
	},
	{
		rule:  "differs",
		facts: `{"file":"a.gz","keys":12,"sha256":"ab","verified":true,"differences":2}`,
		want:  migration.Unmet,
		says:  "in 2 keys",
	},
	{
		rule:  "not written",
		facts: `{"verified":true}`,
		want:  migration.Unknown,
		says:  "no backup",
	},
}
