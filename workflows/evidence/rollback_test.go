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
		rule:  "no worker",
		facts: `{"from":"shadow","to":"dualwrite"}`,
		want:  migration.Unknown,
		says:  "no live worker",
	},
}
