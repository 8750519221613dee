package evidence

import "github.com/switchyard-dev/switchyard/migration"

var residueRows = []row{
	{
		rule:  "nothing left",
		facts: `{"databases":[0],"queues":[{"queue":"q","moved":4},{"queue":"r","moved":1}]}`,
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
	{
		rule:  "an earlier version looked at one database",
		facts: `{"queues":[{"queue":"q"}]}`,
		want:  migration.Unknown,
		says:  "an older form",
	},
	{
		rule: "jobs in another database",
		facts: `{"databases":[0,1],"queues":[{"queue":"q"}],"unknown":[{"member":"db1/bull:mail",` +
			`"database":1,"queue":"mail","kind":"BullMQ","pending":3,"keys":9}]}`,
		want: migration.Unknown,
		says: "nobody decided what becomes of the BullMQ queue mail in database 1 (3 jobs not done",
	},
	{
		rule: "keys of no queue",
		facts: `{"databases":[0],"queues":[{"queue":"q"}],"unknown":[{"member":"db0/other keys",` +
			`"database":0,"keys":2,"examples":["cart:0:id"]}]}`,
		want: migration.Unknown,
		says: "2 keys of no queue in database 0 (such as cart:0:id)",
	},
	{
		rule:  "every queue that was looked at is named",
		facts: `{"databases":[0],"queues":[{"queue":"q"},{"queue":"r"}]}`,
		want:  migration.Met,
		says:  "no jobs left on the source in q, r",
	},
}
