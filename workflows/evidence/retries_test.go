package evidence

import "github.com/switchyard-dev/switchyard/migration"

var retriesRows = []row{
	{
		rule: "all back and applied once",
		facts: `{"refused":3,"recovered":3,"applied_once":3,"longest_ms":4200,
			"providers":[{"provider":"Stripe",
			"refused":3,"recovered":3,"applied_once":3,"longest_ms":4200,
			"window_seconds":259200,"proof":"documented"}]}`,
		want: migration.Met,
		says: "applied once: Stripe 3 (slowest after 4.2 s; 72 h documented). First retries " +
			"observed; full retry windows not tested",
	},
	{
		rule: "a window that others tell is not documented",
		facts: `{"refused":1,"recovered":1,"applied_once":1,
			"providers":[{"provider":"ClickFunnels 2.0",
			"refused":1,"window_seconds":4875,"proof":"community"}]}`,
		want: migration.Met,
		says: "(slowest after 0.0 s; window not documented, community: 81 min)",
	},
	{
		rule: "a window that nobody states",
		facts: `{"refused":2,"recovered":2,"applied_once":2,"providers":[{"provider":"COPE",
			"refused":1,"proof":"observed"},{"provider":"Stripe","refused":1,
			"window_seconds":259200,"proof":"documented"}]}`,
		want: migration.Met,
		says: "COPE 1 (slowest after 0.0 s; window not documented), Stripe 1 (slowest after " +
			"0.0 s; 72 h documented)",
	},
	{
		rule: "a provider none of whose orders was refused",
		facts: `{"refused":1,"recovered":1,"applied_once":1,"providers":[{"provider":"Stripe",
			"refused":1},{"provider":"Shopify"},{"provider":"COPE"}]}`,
		want: migration.Unknown,
		says: "unknown: Shopify (none of its orders was rejected), COPE",
	},
	{
		rule:  "whose orders they were is not told",
		facts: `{"refused":1,"recovered":1,"applied_once":1}`,
		want:  migration.Unknown,
		says:  "run it again",
	},
	{
		rule: "the provider says so too",
		facts: `{"refused":3,"recovered":3,"applied_once":3,"providers":[{"provider":"Stripe",
			"refused":3}],"live":{"provider":"Stripe","undelivered":0}}`,
		want: migration.Met,
		says: "Stripe itself reports",
	},
	{
		rule: "the provider says otherwise",
		facts: `{"refused":3,"recovered":3,"applied_once":3,"live":{"provider":"Stripe",
			"undelivered":1,"events":["evt_1"]}}`,
		want: migration.Unmet,
		says: "evt_1",
	},
	{
		rule:  "one did not come back",
		facts: `{"refused":3,"recovered":2,"applied_once":3}`,
		want:  migration.Unmet,
		says:  "2 of 3 rejected orders were redelivered",
	},
	{
		rule:  "one was not applied",
		facts: `{"refused":3,"recovered":3,"applied_once":2}`,
		want:  migration.Unmet,
		says:  "2 applied",
	},
	{
		rule:  "one applied twice",
		facts: `{"refused":3,"recovered":3,"applied_once":3,"applied_twice":1}`,
		want:  migration.Unmet,
		says:  "1 order processed twice",
	},
	{
		rule: "kept by the durable intake",
		facts: `{"kept":5,"kept_applied":5,"kept_ms":3100,"providers":[{"provider":"Stripe",
			"kept":5}]}`,
		want: migration.Met,
		says: "5 orders acknowledged from the durable intake while none could be enqueued, " +
			"all enqueued within 3.1 s and applied once: Stripe 5",
	},
	{
		rule: "some kept, some refused",
		facts: `{"refused":1,"recovered":1,"applied_once":1,"kept":1,"kept_applied":1,
			"providers":[{"provider":"Stripe","refused":1},{"provider":"COPE","kept":1}]}`,
		want: migration.Met,
		says: "applied once: COPE 1",
	},
	{
		rule:  "one that was kept was not applied",
		facts: `{"kept":5,"kept_applied":4,"providers":[{"provider":"Stripe","kept":5}]}`,
		want:  migration.Unmet,
		says:  "4 of 5 orders stored by the durable intake were applied",
	},
	{
		rule:  "nothing refused",
		facts: `{"refused":0}`,
		want:  migration.Unknown,
		says:  "no order was rejected",
	},
	{
		rule: "who kept every order was not refused one",
		facts: `{"refused":1,"recovered":1,"applied_once":1,"kept":1,"kept_applied":1,
			"providers":[{"provider":"COPE","kept":1},{"provider":"Stripe","refused":1}]}`,
		want: migration.Met,
		says: "applied once: Stripe 1",
	},
}
