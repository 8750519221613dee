package evidence

import "github.com/switchyard-dev/switchyard/migration"

var rollbackRows = []row{
	{
		rule:  "followed by every worker",
		facts: `{"from":"shadow","to":"dualwrite","rollback_ms":640,"workers":1}`,
		want:  migration.Met,
		says:  "0.6 s",
	},
	{
		rule:  "exactly at the limit",
		facts: `{"from":"shadow","to":"dualwrite","rollback_ms":60000,"workers":1}`,
		want:  migration.Met,
		says:  "60.0 s",
	},
	{
		rule:  "a way back that took hours",
		facts: `{"from":"shadow","to":"dualwrite","rollback_ms":18000000,"workers":1}`,
		want:  migration.Unmet,
		says:  "limit 60 s",
	},
	{
		rule:  "no stage and no time",
		facts: `{"workers":1}`,
		want:  migration.Unknown,
		says:  "nothing was rolled back",
	},
	{
		rule:  "no worker",
		facts: `{"from":"shadow","to":"dualwrite"}`,
		want:  migration.Unknown,
		says:  "no live worker",
	},
	{
		rule:  "no stage from which",
		facts: `{"to":"dualwrite","rollback_ms":640,"workers":1}`,
		want:  migration.Unknown,
		says:  "nothing was rolled back",
	},
	{
		rule:  "no stage to which",
		facts: `{"from":"shadow","rollback_ms":640,"workers":1}`,
		want:  migration.Unknown,
		says:  "nothing was rolled back",
	},
	{
		rule:  "no time",
		facts: `{"from":"shadow","to":"dualwrite","workers":1}`,
		want:  migration.Unknown,
		says:  "nothing was rolled back",
	},
}
