package evidence

import "github.com/switchyard-dev/switchyard/migration"

var intakeRows = []row{
	{
		rule: "every instance keeps orders on disk",
		facts: `{"instances":[{"instance":"i","durable":true,"backlog":7,"bytes":2097152,
			"max_bytes":268435456},{"instance":"j","durable":true,"max_bytes":268435456}]}`,
		want: migration.Met,
		says: "7 wait there, 2 MiB of 512 MiB",
	},
	{
		rule:  "one of two does not",
		facts: `{"instances":[{"instance":"i","durable":true,"max_bytes":9},{"instance":"j"}]}`,
		want:  migration.Unmet,
		says:  "j acknowledges an order only once it is in Redis",
	},
	{
		rule:  "orders were refused",
		facts: `{"instances":[{"instance":"i","durable":true,"max_bytes":9,"refused":3}]}`,
		want:  migration.Unmet,
		says:  "refused 3 orders",
	},
	{
		rule:  "kept orders are damaged",
		facts: `{"instances":[{"instance":"i","durable":true,"max_bytes":9,"damaged":2}]}`,
		want:  migration.Unmet,
		says:  "2 kept orders of i cannot be read",
	},
	{
		rule:  "it does not say how much it may hold",
		facts: `{"instances":[{"instance":"i","durable":true}]}`,
		want:  migration.Unknown,
		says:  "does not say",
	},
	{
		rule:  "nobody attests",
		facts: `{"instances":[]}`,
		want:  migration.Unknown,
		says:  "no live app",
	},
}
