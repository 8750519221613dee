package evidence

import "github.com/switchyard-dev/switchyard/migration"

var offRows = []row{
	{
		rule:  "deleted and offline",
		facts: `{"servers":[{"label":"a","status":"deleted"},{"label":"b","status":"offline"}]}`,
		want:  migration.Met,
		says:  "2 old machines",
	},
	{
		rule:  "still running",
		facts: `{"servers":[{"label":"a","status":"running"}]}`,
		want:  migration.Unmet,
		says:  "a is running",
	},
	{
		rule:  "still answers",
		facts: `{"servers":[{"label":"a","address":"h:1","status":"offline","reachable":true}]}`,
		want:  migration.Unmet,
		says:  "a (h:1) still answers",
	},
	{
		rule:  "no server",
		facts: `{"servers":[]}`,
		want:  migration.Unknown,
		says:  "no server",
	},
}
