package evidence

import "github.com/switchyard-dev/switchyard/migration"

var ledgerRows = []row{
	{
		rule:  "every order once",
		facts: `{"orders":9,"acknowledged":9,"fulfilled":8,"pending":1}`,
		want:  migration.Met,
		says:  "1 in flight on the target",
	},
	{
		rule:  "a loss that the servers' events show alone",
		facts: `{"acknowledged":9,"fulfilled":9,"events":["1 unresolved loss"]}`,
		want:  migration.Unmet,
		says:  "1 unresolved loss",
	},
	{
		rule:  "one lost",
		facts: `{"acknowledged":9,"fulfilled":8,"lost":1,"examples":["ord_1"]}`,
		want:  migration.Unmet,
		says:  "1 order lost, 0 processed twice: ord_1",
	},
	{
		rule:  "one twice",
		facts: `{"acknowledged":9,"fulfilled":9,"duplicated":1,"examples":["ord_2"]}`,
		want:  migration.Unmet,
		says:  "1 processed twice: ord_2",
	},
	{
		rule:  "one still on the source",
		facts: `{"acknowledged":9,"fulfilled":8,"pending":1,"pending_source":1}`,
		want:  migration.Unknown,
		says:  "still in flight",
	},
	{
		rule:  "some wait in the durable intake",
		facts: `{"orders":9,"acknowledged":9,"fulfilled":7,"pending":2,"held":2}`,
		want:  migration.Met,
		says:  "2 of them in the app's durable intake",
	},
	{
		rule:  "some wait there for too long",
		facts: `{"orders":9,"acknowledged":9,"fulfilled":7,"pending":2,"held":2,"held_late":1}`,
		want:  migration.Unknown,
		says:  "have been in the app's durable intake for longer than the deadline",
	},
	{
		rule:  "run and shadow run differ",
		facts: `{"acknowledged":9,"fulfilled":9,"mismatches":1,"examples":["ord_3"]}`,
		want:  migration.Unmet,
		says:  "1 mismatch, 0 orders are contradictory: ord_3",
	},
	{
		rule:  "a record that cannot be true",
		facts: `{"acknowledged":9,"fulfilled":9,"contradicted":1,"examples":["ord_4"]}`,
		want:  migration.Unmet,
		says:  "1 order is contradictory: ord_4",
	},
	{
		rule:  "an order that is yet to come",
		facts: `{"acknowledged":9,"fulfilled":8,"future":1}`,
		want:  migration.Unknown,
		says:  "dated in the future",
	},
	{
		rule:  "no order",
		facts: `{}`,
		want:  migration.Unknown,
		says:  "no order was acknowledged",
	},
}
