package evidence

import "github.com/switchyard-dev/switchyard/migration"

var dualWriteRows = []row{
	{
		rule:  "every order on both sides",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"window_seconds":60}`,
		want:  migration.Met,
		says:  "0 differ",
	},
	{
		rule: "no result of the app's own",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"of_data":100,
			"window_seconds":60}`,
		want: migration.Met,
		says: "for 100 of them that is the data alone",
	},
	{
		rule:  "a result differs",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"mismatches":1}`,
		want:  migration.Unmet,
		says:  "1 result differs",
	},
	{
		rule:  "a difference counts before there are enough orders",
		facts: `{"orders":1,"min_orders":100,"copied":1,"compared":1,"mismatches":1}`,
		want:  migration.Unmet,
		says:  "1 result differs",
	},
	{
		rule:  "an order was lost",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"lost":1}`,
		want:  migration.Unmet,
		says:  "1 order lost",
	},
	{
		rule:  "an order was applied twice",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"duplicated":1}`,
		want:  migration.Unmet,
		says:  "1 processed twice",
	},
	{
		rule:  "a copy is missing",
		facts: `{"orders":100,"min_orders":100,"copied":99,"compared":99}`,
		want:  migration.Unmet,
		says:  "99 copied",
	},
	{
		rule:  "a comparison is missing",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":99}`,
		want:  migration.Unmet,
		says:  "99 compared",
	},
	{
		rule: "an instance that is still at off takes most orders",
		facts: `{"orders":1000,"min_orders":50,"copied":50,"compared":50,"alone":950,
			"alone_ids":["ord_1"]}`,
		want: migration.Unmet,
		says: "950 of 1000 orders came in at a stage that makes no copies: ord_1",
	},
	{
		rule:  "nobody knows any more whether orders without a copy were in the window",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"cut":2}`,
		want:  migration.Unknown,
		says:  "2 orders without a copy",
	},
	{
		rule:  "a record that cannot be true",
		facts: `{"orders":100,"min_orders":100,"copied":100,"compared":100,"contradicted":1}`,
		want:  migration.Unmet,
		says:  "1 order is contradictory",
	},
	{
		rule:  "too few orders",
		facts: `{"orders":99,"min_orders":100,"copied":99,"compared":99}`,
		want:  migration.Unknown,
		says:  "only 99 orders",
	},
	{
		rule:  "no order at all",
		facts: `{}`,
		want:  migration.Unknown,
		says:  "only 0 orders",
	},
	{
		rule:  "a copy is missing, and yet every order was compared",
		facts: `{"orders":100,"min_orders":100,"copied":99,"compared":100}`,
		want:  migration.Unmet,
		says:  "99 copied and 100 compared",
	},
}
