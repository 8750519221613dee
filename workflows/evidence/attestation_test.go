package evidence

import "github.com/switchyard-dev/switchyard/migration"

var attestationRows = []row{
	{
		rule: "off, with a timeout, and it starts while Redis is down",
		facts: `{"producers":[{"instance":"i","queue":"q","endpoint":"sentinel",
			"enable_offline_queue":false,"command_timeout_ms":2000,
			"skip_waiting_for_ready":true}]}`,
		want: migration.Met,
		says: "skipWaitingForReady: 1",
	},
	{
		rule: "one of two queues offline",
		facts: `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":1,
			"skip_waiting_for_ready":true},{"instance":"i2","queue":"q",
			"enable_offline_queue":true,"command_timeout_ms":1}]}`,
		want: migration.Unmet,
		says: "enableOfflineQueue on",
	},
	{
		rule:  "no timeout",
		facts: `{"producers":[{"enable_offline_queue":false}]}`,
		want:  migration.Unmet,
		says:  "no commandTimeout",
	},
	{
		rule:  "does not say",
		facts: `{"producers":[{"command_timeout_ms":2000}]}`,
		want:  migration.Unknown,
		says:  "does not say",
	},
	{
		rule:  "says null",
		facts: `{"producers":[{"enable_offline_queue":null,"command_timeout_ms":2000}]}`,
		want:  migration.Unknown,
		says:  "does not say",
	},
	{
		rule: "waits for Redis when it starts",
		facts: `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,
			"skip_waiting_for_ready":false}]}`,
		want: migration.Unmet,
		says: "hangs when the app starts",
	},
	{
		rule:  "does not say what it does when it starts",
		facts: `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000}]}`,
		want:  migration.Unknown,
		says:  "skipWaitingForReady",
	},
	{
		rule:  "nobody attests",
		facts: `{"producers":[]}`,
		want:  migration.Unknown,
		says:  "no live worker",
	},
	{
		rule: "a queue that the drill does not know",
		facts: `{"producers":[{"queue":"reports","enable_offline_queue":false,
			"command_timeout_ms":2000,"skip_waiting_for_ready":true}],"undrilled":["reports"]}`,
		want: migration.Unmet,
		says: "the last drill did not try (reports)",
	},
	{
		rule: "a queue of the source that nobody attests",
		facts: `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,
			"skip_waiting_for_ready":true}],"unattested":["mail"]}`,
		want: migration.Unmet,
		says: "producers that no app attests (mail)",
	},
	{
		rule: "a queue of commands that end",
		facts: `{"producers":[{"enable_offline_queue":false,"command_timeout_ms":2000,
			"skip_waiting_for_ready":true}],"scan_only":["reports"]}`,
		want: migration.Met,
		says: "neither attested nor drilled, by the configuration: reports",
	},
	{
		rule: "the first of two queues offline",
		facts: `{"producers":[{"queue":"a","enable_offline_queue":true,"command_timeout_ms":1},
			{"queue":"b","enable_offline_queue":false,"command_timeout_ms":1,
			"skip_waiting_for_ready":true}]}`,
		want: migration.Unmet,
		says: "a on  of  has enableOfflineQueue on",
	},
}
