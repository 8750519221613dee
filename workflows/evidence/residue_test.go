package evidence

import "github.com/switchyard-dev/switchyard/migration"

var residueRows = []row{
	{
		rule:  "nothing left",
		facts: `{"queues":[{"queue":"q","moved":4},{"queue":"r","moved":1}]}`,
		want:  migration.Met,
		says:  "jobs moved: 5",
	},
	{
		rule:  "a job left",
		facts: `{"queues":[{"queue":"q"},{"queue":"r","pending":1}]}`,
		want:  migration.Unmet,
		says:  "1 job left in r",
	},
	{
		rule:  "no queue",
		facts: `{"queues":[]}`,
		want:  migration.Unknown,
		says:  "no queue",
	},
}
