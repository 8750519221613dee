package evidence

import (
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
)

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
	{
		rule:  "the first of two does not",
		facts: `{"instances":[{"instance":"i"},{"instance":"j","durable":true,"max_bytes":9}]}`,
		want:  migration.Unmet,
		says:  "i acknowledges an order only once it is in Redis",
	},
}

func TestAnOrderIsKeptOnDiskOnlyWhereEveryInstanceDoesSo(t *testing.T) {
	t.Parallel()
	disk, none := IntakeInstance{Durable: true, Backlog: 2}, IntakeInstance{Backlog: 1}
	for rule, c := range map[string]struct {
		instances []IntakeInstance
		all       bool
		backlog   int
	}{
		"every one":       {[]IntakeInstance{disk, disk}, true, 4},
		"one does not":    {[]IntakeInstance{disk, none}, false, 3},
		"the first":       {[]IntakeInstance{none, disk}, false, 3},
		"none is running": {nil, false, 0},
	} {
		sum, all := IntakeFacts{Instances: c.instances}.Totals()
		if all != c.all || sum.Durable != c.all || sum.Backlog != c.backlog {
			t.Errorf("%s: %v, %+v", rule, all, sum)
		}
	}
}
