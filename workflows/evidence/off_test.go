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
		rule: "nothing answers, one way or the other",
		facts: `{"servers":[{"label":"a","status":"deleted"},
			{"label":"Redis","address":"h:1","status":"offline","answer":"refused"},
			{"label":"Redis","address":"h:2","status":"offline","answer":"unanswered"}]}`,
		want: migration.Met,
		says: "2 old addresses (1 refused, 1 unanswered)",
	},
	{
		rule: "of a version that took any error for silence",
		facts: `{"servers":[{"label":"a","status":"deleted"},
			{"label":"Redis","address":"h:1","status":"offline","reachable":false}]}`,
		want: migration.Unknown,
		says: "whether h:1 refused",
	},
	{
		rule: "nobody was asked about a machine",
		facts: `{"servers":[{"label":"Redis","address":"h:1","status":"offline",
			"answer":"refused"}]}`,
		want: migration.Unknown,
		says: "none is configured",
	},
	{
		rule:  "silent, and nobody says that it is off",
		facts: `{"servers":[{"label":"a","status":"silent"}]}`,
		want:  migration.Unmet,
		says:  "a is silent",
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
