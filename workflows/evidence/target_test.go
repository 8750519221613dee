package evidence

import "github.com/switchyard-dev/switchyard/migration"

var targetPlanRows = []row{
	{
		rule: "fixed, without eviction, with TLS, active",
		facts: `{"provider":"upstash","name":"orders","region":"us-east-1","fixed_1gb":true,
			"tls":true,"state":"active"}`,
		want: migration.Met,
		says: "Fixed 1 GB",
	},
	{
		rule:  "pay as you go",
		facts: `{"name":"orders","tls":true,"state":"active","plan_note":"type payg"}`,
		want:  migration.Unmet,
		says:  "not Fixed 1 GB (type payg)",
	},
	{
		rule:  "evicts",
		facts: `{"fixed_1gb":true,"eviction":true,"tls":true,"state":"active"}`,
		want:  migration.Unmet,
		says:  "eviction is on",
	},
	{
		rule:  "without TLS",
		facts: `{"fixed_1gb":true,"state":"active"}`,
		want:  migration.Unmet,
		says:  "TLS is off",
	},
	{
		rule:  "not active",
		facts: `{"fixed_1gb":true,"tls":true,"state":"suspended"}`,
		want:  migration.Unmet,
		says:  "state is suspended",
	},
	{
		rule:  "upgrades by itself",
		facts: `{"fixed_1gb":true,"tls":true,"state":"active","auto_upgrade":true}`,
		want:  migration.Unmet,
		says:  "automatic upgrades are on",
	},
	{
		rule:  "another one of its name",
		facts: `{"fixed_1gb":true,"tls":true,"state":"active","same_name":["id-2"]}`,
		want:  migration.Unmet,
		says:  "billed too: id-2",
	},
	{
		rule: "another plan than the one an earlier version knew",
		facts: `{"provider":"Redis Cloud","name":"h:1","region":"eu","wanted":"Essentials 1 GB",
			"plan_fits":true,"tls":true,"state":"active"}`,
		want: migration.Met,
		says: "in eu is Essentials 1 GB",
	},
	{
		rule: "not the wanted plan, whatever an earlier version called it",
		facts: `{"wanted":"Essentials 1 GB","fixed_1gb":true,"tls":true,"state":"active",
			"plan_note":"billed by use"}`,
		want: migration.Unmet,
		says: "plan is not Essentials 1 GB (billed by use)",
	},
	{
		rule:  "every mistake is named",
		facts: `{"eviction":true,"state":"x"}`,
		want:  migration.Unmet,
		says:  "eviction is on, TLS is off, state is x",
	},
}

var targetConnRows = []row{
	{
		rule:  "verified and answering",
		facts: `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],"latency_us":1234}`,
		want:  migration.Met,
		says:  "round trip 1.2 ms",
	},
	{
		rule: "with the latency of many",
		facts: `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],"latency_us":1234,
			"latency_p99_us":5678,"pings":20}`,
		want: migration.Met,
		says: "median of 20, p99 5.6 ms",
	},
	{
		rule:  "certificate not verified",
		facts: `{"address":"a:1","answered":["EVALSHA"]}`,
		want:  migration.Unmet,
		says:  "was not verified",
	},
	{
		rule:  "a needed command is refused",
		facts: `{"tls_verified":true,"answered":["GET"],"refused":["EVALSHA"]}`,
		want:  migration.Unmet,
		says:  "rejected: EVALSHA",
	},
	{
		rule: "the source under another name",
		facts: `{"address":"a:1","tls_verified":true,"answered":["EVALSHA"],
			"same_as":["10.0.0.5:6379"]}`,
		want: migration.Unmet,
		says: "a:1 is the source itself: 10.0.0.5:6379",
	},
	{
		rule:  "no command tried",
		facts: `{"tls_verified":true}`,
		want:  migration.Unknown,
		says:  "no command",
	},
}
